"""What is drawn follows from the tests alone."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
MODULES: Final = "import engine.english"
PROGRAM: Final = """
from hypothesis import given, seed, settings, strategies as st
from tests.support.draws import settle_draws
settle_draws({seed!r})
{modules}

@settings(max_examples=300)
@given(st.text(max_size=20), st.integers())
def draw(text, number):
    print(ascii(text), number)

seed({seed})(draw)() if {seed} else draw()
"""


@cache
def drawn(modules: str = "", seed: int | None = None) -> str:
    """Returns what a process draws that has imported these modules."""
    program = PROGRAM.format(modules=modules, seed=seed)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


def test_nothing_else_is_drawn_where_other_modules_are_imported() -> None:
    alone = drawn()
    assert len(alone.splitlines()) == 300
    assert drawn(MODULES) == alone


def test_a_seed_draws_something_else_and_out_of_the_modules_too() -> None:
    assert len({drawn(), drawn(seed=7), drawn(MODULES, seed=7)}) == 3
