"""What Hypothesis and schemathesis draw: the same on every machine, until a seed asks for something else.

    pytest --hypothesis-seed 7 tests/engine/api/test_properties.py

A test that fails only where other values happen to be drawn tells nobody anything at the moment when it fails. So the
suite draws what follows from the tests alone, and whoever looks for what is left gives one seed after the other.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

SEED: Final = "TALKSPURT_TEST_SEED"
"""The variable by which schemathesis, a process of its own, is told the seed."""
PROFILE: Final = "same everywhere"


def settle_draws(seed: int | str | None) -> None:
    """Settles what is drawn, before the first test is read. `seed` is that of `--hypothesis-seed`, None without it.

    Nothing is drawn by a clock: an example may take as long as a busy machine needs for it.
    """
    settings.register_profile(
        PROFILE,
        derandomize=seed is None,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile(PROFILE)
    if seed is None:
        os.environ.pop(SEED, None)
        forget_constants()
    else:
        os.environ[SEED] = str(seed)


def forget_constants() -> None:
    """Has Hypothesis draw no constants out of the modules of the project.

    It draws them out of those that happen to be imported, and looks where they lie, so other tests in the same process,
    another folder and a changed line anywhere each lead to other values. There is no setting for it.
    """
    providers.is_local_module_file = lambda path: False
