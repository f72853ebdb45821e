"""Journals are read as they are written, and a fault is named with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge.journal import events
from bridge.journal.kept_lines import KeptJournals, KeptLines
from bridge.journal.reading import WrongJournal, read_journal, read_lines
from bridge.journal.schema import PATH, text

DTMF = '{"type": "dtmf", "call_id": "c", "number": 2, "at_ms": 70, "digit": "5"}\n'


def test_the_schema_in_the_repository_is_that_of_the_events() -> None:
    assert PATH.read_text() == text(), "python -m bridge.journal.schema writes it anew"


def test_events_have_their_own_types_and_unknown_ones_are_kept() -> None:
    later = '{"type": "call.dreamt", "call_id": "c", "at_ms": 80, "of": "sheep"}\n'
    key, unknown = read_lines([DTMF, "\n", later], "j")
    assert isinstance(key, events.Dtmf)
    assert (key.digit, key.at_ms) == ("5", 70)
    assert type(unknown) is events.Line
    assert unknown.model_extra == {"of": "sheep"}


def test_the_line_that_a_killed_server_was_writing_is_left_out() -> None:
    assert len(read_lines([DTMF, '{"type": "dt'], "j")) == 1


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([DTMF, "rubbish\n", DTMF], "j, line 2: no JSON"),
        ([DTMF, '["dtmf"]\n'], "j, line 2"),
        (['{"type": "dtmf", "call_id": "c", "at_ms": 0}\n'], "j, line 1: dtmf.digit: Field required"),
        (['{"type": "call.started", "call_id": "c", "at_ms": 0, "journal_version": 2}\n'], "version 2"),
        ([], "holds no events"),
        (["x" * 1_000_001], "longer than"),
    ],
)
def test_what_is_no_journal_is_refused_with_its_place(lines: list[str], problem: str) -> None:
    with pytest.raises(WrongJournal, match=problem):
        read_lines(lines, "j")


def test_a_file_may_hold_what_is_no_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(DTMF.encode().replace(b'"5"', b'"\xff"'))
    assert len(read_journal(path)) == 1


def test_a_long_call_keeps_its_first_line_and_its_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.journal.kept_lines.MAX_CHARS", 100)
    lines = KeptLines()
    for number in range(50):
        lines.add(f"line {number:05}")
    assert list(lines) == ["line 00000", *(f"line {number:05}" for number in range(41, 50))]
    assert lines.chars == 100


def test_of_ended_calls_the_latest_journals_are_kept() -> None:
    kept, journals = KeptJournals(30), []
    for number in range(5):
        lines = KeptLines()
        lines.add(json.dumps({"n": number}) + " " * 2)  # ten characters
        journals.append(lines)
        kept.keep(lines)
    assert [bool(list(lines)) for lines in journals] == [False, False, True, True, True]
