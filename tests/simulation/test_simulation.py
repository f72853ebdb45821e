"""Whole calls from seeds keep every promise, and each promise is checked by what can fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.simulation.__main__ import run_in_processes
from tests.simulation.defects import CHANCE, DEFECTS, FOUND, Defect
from tests.simulation.plan import FAULTS, make_plan
from tests.simulation.run import simulate
from tests.simulation.shrink import command, kinds, shrink
from tests.simulation.tally import Tally
from tests.simulation.virtual_time import virtual_time

SEEDS = 240
A_PART = 30
A_DEFECT = 40
"""The number of seeds within which a defect is found."""


@pytest.fixture(scope="module", autouse=True)
def _virtual_time() -> Iterator[None]:
    with virtual_time():
        yield


@pytest.mark.parametrize("start", range(0, SEEDS, A_PART))
def test_every_seed_keeps_every_promise(start: int) -> None:
    tally = Tally.of(range(start, start + A_PART))
    assert not tally.failures, "\n\n".join(tally.failures)
    assert tally.counts["frames"] > 100 * A_PART, "the calls have hardly lasted"


def test_the_seeds_have_every_fault() -> None:
    assert {fault.kind for seed in range(SEEDS) for fault in make_plan(seed).faults} == set(FAULTS)


def test_more_faults_leave_the_rest_of_a_plan_as_it_is() -> None:
    plan, worse = make_plan(5), make_plan(5, more_faults=3)
    assert worse.faults[:-3] == plan.faults
    assert replace(worse, faults=plan.faults, more_faults=0) == plan
    assert command(worse).endswith("--seed 5 --more-faults 3")


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_is_found(defect: Defect) -> None:
    for seed in range(A_DEFECT):
        with defect.put_in():
            outcome = simulate(make_plan(seed))
        if any(defect.found_as in problem for problem in outcome.problems):
            return
    pytest.fail(f"{A_DEFECT} seeds, and {defect.found_as!r} in none")


@pytest.mark.parametrize(("seed", "without", "defect"), FOUND, ids=lambda value: getattr(value, "name", ""))
def test_what_a_seed_has_found_is_mended(seed: int, without: tuple[str, ...], defect: Defect) -> None:
    plan = make_plan(seed).without(without)
    assert simulate(plan).problems == ()
    with defect.put_in():
        assert any(defect.found_as in problem for problem in simulate(plan).problems), "the seed does not find it now"


def test_one_seed_gives_the_same_bytes() -> None:
    with CHANCE.put_in():
        tally = Tally.of([10])
    assert tally.failures[0].splitlines()[0] == "seed 10: two runs have different bytes"
    assert not Tally.of([10]).failures


def test_another_process_gives_the_same_bytes() -> None:
    asked = [sys.executable, "-m", "tests.simulation", "--start", "3", "--seeds", "5"]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=100, env={**os.environ, "PYTHONHASHSEED": "7"})
    assert told.returncode == 0, told.stdout + told.stderr
    digest = re.search(r"^digest +(\w+)$", told.stdout, re.MULTILINE)
    assert digest is not None
    assert f"{Tally.of(range(3, 8)).digest:064x}".startswith(digest[1])


def test_many_processes_give_the_same_bytes_and_tell_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_in_processes(range(3, 8), 3) == 0
    assert f"{Tally.of(range(3, 8)).digest:064x}"[:16] in capsys.readouterr().out
    with DEFECTS[0].put_in():
        assert run_in_processes(range(2), 2) == 1
    told = capsys.readouterr().out
    assert "seed 0:\n" in told
    assert "seed 1:\n" in told
    assert re.search(r"^failures +2$", told, re.MULTILINE)


def test_a_failure_is_shrunk_and_told_with_the_command_that_repeats_it() -> None:
    seed = next(seed for seed in range(100) if len(make_plan(seed).calls) == 3 and make_plan(seed).faults)
    with DEFECTS[0].put_in():
        failed = simulate(make_plan(seed))
        smallest = shrink(failed)
        without = command(smallest.plan).partition(" --without ")[2].split()
        again = simulate(make_plan(seed).without(without))
    assert len(smallest.plan.calls) == 1
    assert not smallest.plan.faults
    assert not smallest.plan.calls[0].sayings
    assert kinds(again.problems) == kinds(smallest.problems) == {"frames"}
    assert again.frames == smallest.frames
