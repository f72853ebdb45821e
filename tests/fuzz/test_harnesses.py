"""Each harness: its seeds hold, and so does what a few seconds of fuzzing make of them, the same each time."""

from __future__ import annotations

import importlib
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from fuzz.campaign import Campaign, harnesses

ROOT: Final = Path(__file__).parents[2]
INPUTS: Final = 4_000
SLOW: Final = {"agents": 400, "model": 400, "normalize": 400, "sentences": 400, "sound_file": 400, "speech_socket": 400}
"""How many inputs the others have, which take milliseconds for one."""
SECONDS: Final = 100
"""Nothing takes that long; it bounds a harness that hangs."""
SEED: Final = 1
"""So that a change is at fault where this fails, and neither the day nor the machine: `make fuzz` tries others."""
NEEDS_ATHERIS: Final = pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel for this Python")


@pytest.mark.parametrize("name", harnesses())
def test_the_seeds_hold(name: str) -> None:
    """Among them are inputs that have found defects. It needs no fuzzer."""
    harness = importlib.import_module(f"fuzz.fuzz_{name}")
    assert harness.SEEDS
    for seed in harness.SEEDS:
        harness.check(seed)


@NEEDS_ATHERIS
@pytest.mark.parametrize("name", harnesses())
def test_the_same_inputs_on_every_machine_find_nothing(name: str, tmp_path: Path) -> None:
    inputs = SLOW.get(name, INPUTS)
    run = Campaign(tmp_path).run(f"fuzz.fuzz_{name}", SECONDS, SEED, inputs)
    assert not run.failed, f"{run.found}\n{run.output}"
    assert run.inputs >= inputs > len(importlib.import_module(f"fuzz.fuzz_{name}").SEEDS)


@NEEDS_ATHERIS
def test_a_defect_is_found_and_its_input_kept(tmp_path: Path) -> None:
    run = Campaign(tmp_path).run("tests.fuzz.fuzz_planted", SECONDS)
    assert run.failed
    assert "this is the defect" in run.output
    assert run.found is not None
    assert run.found.parent == tmp_path / "found"
    assert run.found.read_bytes() == b"bug"


@NEEDS_ATHERIS
def test_a_harness_that_does_not_start_is_a_failure(tmp_path: Path) -> None:
    run = Campaign(tmp_path).run("tests.fuzz.fuzz_nowhere", SECONDS)
    assert run.failed
    assert run.found is None
    assert run.inputs == 0


def test_a_harness_that_does_not_end_is_a_failure_and_the_next_one_runs(tmp_path: Path) -> None:
    run = Campaign(tmp_path, start_s=0.01).run("tests.fuzz.fuzz_planted", 0)
    assert run.failed
    assert "timed out" in run.output


def test_inputs_of_all_runs_are_counted(tmp_path: Path) -> None:
    assert [Campaign(tmp_path).count("x", inputs) for inputs in (5, 7)] == [5, 12]


def test_the_docs_tell_what_each_harness_asserts() -> None:
    told = re.findall(r"(?m)^\| `(\w+)` \|", (ROOT / "docs/reliability.md").read_text())
    assert sorted(told) == harnesses()
