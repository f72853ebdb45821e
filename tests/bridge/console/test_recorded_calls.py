"""The list of recorded calls."""

from __future__ import annotations

import json
import os
from uuid import uuid4

import pytest

from bridge.console import recorded_calls
from bridge.console.recorded_calls import RecordedCalls


def record(folder, number, *, ended=None, age_s=0, agent="shop", name=None):
    name = name or str(uuid4())
    first = {"type": "call.started", "call_id": name[:36], "at_ms": 0, "time": f"2030-01-02T03:{59 - age_s:02}:00Z"}
    lines = [first | {"from": number, "to": "100", "agent_name": agent, "variables": {}}]
    lines.append({"type": "dtmf", "at_ms": 4_000, "digit": "1"})
    if ended is not None:
        lines.append({"type": "call.ended", "at_ms": 9_000, "reason": ended[0], "next": ended[1]})
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    os.utime(path, (1_000_000 - age_s, 1_000_000 - age_s))
    return name


@pytest.fixture
def calls(tmp_path):
    return RecordedCalls(lambda: [tmp_path], rest=lambda seconds: None)


def test_the_latest_come_first(tmp_path, calls):
    names = [record(tmp_path, "1", age_s=age_s) for age_s in (5, 1, 3)]
    assert [call.name for call in calls.search([], 10)] == [names[1], names[2], names[0]]
    assert [call.name for call in calls.search([], 1)] == [names[1]]


def test_they_are_found_by_number_agent_and_outcome(tmp_path, calls):
    record(tmp_path, "5550100", ended=("hung up", "ext-queues,400,1"))
    record(tmp_path, "5550111", ended=("caller hung up", "hangup"), agent="Clinic")
    found = {terms: [call.from_ for call in calls.search(terms.split(), 10)] for terms in ("0100", "clinic", "queues")}
    assert found == {"0100": ["5550100"], "clinic": ["5550111"], "queues": ["5550100"]}
    assert len(calls.search(["HUNG", "555"], 10)) == 2
    assert calls.search(["clinic", "0100"], 10) == []


def test_a_call_says_how_it_ended(tmp_path, calls):
    record(tmp_path, "1", ended=("hung up", "ext-queues,400,1"))
    record(tmp_path, "2", ended=("caller hung up", "hangup"))
    record(tmp_path, "3")
    told = {call.from_: (call.outcome, call.ended, call.duration_ms) for call in calls.search([], 10)}
    assert told == {
        "1": ("hung up → ext-queues,400,1", True, 9_000),
        "2": ("caller hung up", True, 9_000),
        "3": ("", False, 4_000),
    }


def test_other_files_are_passed_over(tmp_path, calls):
    (tmp_path / "notes.jsonl").write_text("{}\n")
    (tmp_path / f"{uuid4()}.jsonl").write_text("no journal\n")
    (tmp_path / f"{uuid4()}.jsonl").write_text("[1]\n")
    (tmp_path / f"{uuid4()}.jsonl").write_bytes(b"\xff\xfe" * 10)
    assert calls.search([], 10) == []


def test_a_journal_is_read_again_only_where_it_has_grown(tmp_path, calls, monkeypatch):
    read = []
    monkeypatch.setattr(recorded_calls, "summarise", lambda path: read.append(path.stem))
    name, grows = record(tmp_path, "1"), record(tmp_path, "2")
    calls.search([], 10)
    with open(tmp_path / f"{grows}.jsonl", "a") as file:
        file.write("{}\n")
    calls.search([], 10)
    assert sorted(read) == sorted([name, grows, grows])


@pytest.mark.parametrize(("later_s", "number"), [(599, "2"), (601, "1")])
def test_a_journal_whose_call_ended_long_ago_is_not_looked_at_again(tmp_path, later_s, number):
    path = tmp_path / f"{record(tmp_path, '1', ended=('hung up', ''))}.jsonl"
    time_of_day_s = iter([1_000_000, 1_000_000 + later_s, 1_000_000 + later_s])
    calls = RecordedCalls(lambda: [tmp_path], lambda seconds: None, lambda: next(time_of_day_s))
    assert [call.from_ for call in calls.search([], 10)] == ["1"]
    path.write_text(path.read_text().replace('"from": "1"', '"from": "2"') + "\n")
    assert [call.from_ for call in calls.search([], 10)] == [number]
    path.unlink()
    assert calls.search([], 10) == []


def test_the_thread_rests_between_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(recorded_calls, "SLICE", 2)
    rests = []
    calls = RecordedCalls(lambda: [tmp_path], rest=rests.append)
    for number in range(8):
        record(tmp_path, str(number), age_s=number)
    calls.search([], 10)
    assert len(rests) == 8, "four times for looking at them, and four for reading them"
    calls.search([], 10)
    assert len(rests) == 12


def test_only_a_recording_is_found_by_its_name(tmp_path, calls):
    name = record(tmp_path, "1")
    second = record(tmp_path, "1", name=f"{name}-2")
    (tmp_path / "secret.jsonl").write_text("{}")
    assert calls.find(name) == tmp_path / f"{name}.jsonl"
    assert calls.find(second) == tmp_path / f"{second}.jsonl"
    for wrong in ("secret", "../secret", f"../{tmp_path.name}/{name}", "", str(uuid4()), name.upper() + "x"):
        assert calls.find(wrong) is None


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert RecordedCalls(lambda: [tmp_path / "none"]).search([], 10) == []
