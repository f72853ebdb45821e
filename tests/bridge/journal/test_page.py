"""The page about the journal names every kind of line and every stage."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from bridge.journal.events import KINDS, Floor, StageName

PAGE = (Path(__file__).parents[3] / "docs" / "journal.md").read_text()


def first_cells(head: str) -> set[str]:
    """The names in the first column of the table under a heading's row."""
    rows = PAGE.split(head, 1)[1].split("\n\n", 1)[0].splitlines()
    return {name for row in rows[2:] for name in re.findall(r"`([\w.]+)`", row.split("|")[1])}


def test_every_kind_has_its_row() -> None:
    assert first_cells("| type | when, and its own fields |") == KINDS


def test_every_stage_has_its_row() -> None:
    assert first_cells("| stage | from | to |") == set(get_args(StageName))


def test_every_floor_is_named() -> None:
    assert all(f"`{floor}`" in PAGE for floor in get_args(Floor))
