"""The table of all faults in docs/reliability.md: one row a fault, between two markers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.faults.fault import Fault
from tests.faults.seen import Seen
from tests.faults.wire import WireFault, WireSeen

PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN: Final = "<!-- faults -->\n"
END: Final = "<!-- end of faults -->"
WIRE_BEGIN: Final = "<!-- faults on the wire -->\n"
WIRE_HEAD: Final = ("neighbour", "fault", "the caller hears", "then")
HEAD: Final = ("neighbour", "fault", "the caller hears, from the fault on", "lost", "longest silence", "served again")


def row(fault: Fault, seen: Seen) -> str:
    """Returns a fault's row."""
    silence = f"{seen.silence_s:.1f} s" if seen.silence_s else "-"
    return f"| {' | '.join((fault.neighbour, fault.name, seen.heard, seen.lost, silence, seen.back))} |"


def wire_row(fault: WireFault, seen: WireSeen) -> str:
    """Returns the row of a fault of a real network."""
    return f"| {fault.neighbour} | {fault.name} | {', '.join(seen.heard)} | {seen.outcome} |"


def rows_of_page(begin: str = BEGIN) -> list[str]:
    """Returns the rows that are committed."""
    lines = PAGE.read_text().partition(begin)[2].partition(END)[0].splitlines()
    return lines[2:]


def write(tried: Mapping[Fault, Seen], wire: Mapping[WireFault, WireSeen]) -> None:
    """Writes both tables into the page."""
    _write(BEGIN, HEAD, [row(fault, seen) for fault, seen in tried.items()])
    _write(WIRE_BEGIN, WIRE_HEAD, [wire_row(fault, seen) for fault, seen in wire.items()])


def _write(begin: str, head: Sequence[str], rows: Sequence[str]) -> None:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *rows]
    text = PAGE.read_text()
    before, _, rest = text.partition(begin)
    PAGE.write_text(f"{before}{begin}" + "\n".join(lines) + f"\n{END}{rest.partition(END)[2]}")


def words_of(text: str) -> str:
    """Returns a row without its measured times, which differ a little from change to change."""
    return re.sub(r"\d+\.\d s", "… s", text)
