"""Writes tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.dial.lateness import Spread

PERCENTILES: Final = ("p50", "p99", "p99.9", "max")


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Returns the rows with their columns aligned, the first to the left and the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def spread_cells(spread: Spread | None) -> tuple[str, str, str, str]:
    """Returns p50, p99, p99.9 and the maximum, or dashes where nothing was measured."""
    if spread is None:
        return ("–", "–", "–", "–")
    return (f"{spread.p50:.2f}", f"{spread.p99:.2f}", f"{spread.p999:.2f}", f"{spread.max:.2f}")
