"""Over a real network that is ill, and with real certificates: the agent goes on, or a human takes over."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.fault import Outcome
from tests.faults.table import WIRE_BEGIN, rows_of_page
from tests.faults.wire import TRUSTED, WIRE, WireFault, WireSeen, try_all


def cells(row: str) -> list[str]:
    """Returns what stands in a row of a table."""
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[WireFault, WireSeen]:
    """All of them, at the same time."""
    folder = tmp_path_factory.mktemp("wire")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(folder / TRUSTED))  # it is trusted, but for its age
        return asyncio.run(try_all(folder))


@pytest.mark.parametrize("fault", WIRE, ids=lambda fault: f"{fault.neighbour} {fault.name}")
def test_a_fault_of_a_real_network(tried: dict[WireFault, WireSeen], fault: WireFault) -> None:
    seen = tried[fault]
    assert seen.outcome is fault.outcome, seen
    rows = [(neighbour, name, then) for neighbour, name, _, then in (cells(row) for row in rows_of_page(WIRE_BEGIN))]
    assert (fault.neighbour, fault.name, str(seen.outcome)) in rows, "python -m tests.faults --write"
    assert len(rows) == len(WIRE)
    assert seen.heard[0] == "the greeting"
    if fault.outcome is Outcome.GOES_ON:
        assert "the answer" in seen.heard
    if fault.outcome is Outcome.HUMAN:
        assert seen.heard[-1] == "the apology"
