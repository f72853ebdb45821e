"""Whatever fails, the caller hears something in time: the agent, or an apology and then a human."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.catalog import FAULTS
from tests.faults.fault import Fault, Outcome
from tests.faults.simulated import try_fault
from tests.faults.table import row, rows_of_page, words_of
from tests.simulation.virtual_time import virtual_time

ROUNDED_S = 0.05


@pytest.fixture(autouse=True, scope="module")
def virtual_clock() -> Iterator[None]:
    with virtual_time():
        yield


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.neighbour} {fault.name}")
def test_a_fault_comes_to_the_callers_ear_as_the_page_says(fault: Fault) -> None:
    seen = try_fault(fault)
    assert not seen.problems
    assert seen.outcome is fault.outcome
    assert seen.silence_s <= fault.silence_bound_s + ROUNDED_S
    if seen.outcome is Outcome.HUMAN and fault.apologises:
        assert "the apology" in seen.heard
    words = words_of(row(fault, seen))
    assert words in map(words_of, rows_of_page()), "python -m tests.faults --write"


def test_the_page_has_each_fault_once_and_no_other() -> None:
    names = [tuple(line.split(" | ")[:2]) for line in rows_of_page()]
    assert names == [(f"| {fault.neighbour}", fault.name) for fault in FAULTS]
    assert len(FAULTS) >= 40
