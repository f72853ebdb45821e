"""The web-hook learns of calls that did not reach the agent, and stale call files are taken back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from bridge.outbound.outbound_calls import GRACE_S, OutboundCalls
from bridge.outbound.settings import OutboundSettings
from bridge.outbound.spool_watch import SpoolWatch


async def test_it_tells_of_each_call_and_removes_what_asterisk_did_not_dial(tmp_path: Path) -> None:
    now_s, told = 0.0, list[dict[str, Any]]()
    calls = OutboundCalls(OutboundSettings(outbound_allow="2??"), lambda: now_s)
    watch = SpoolWatch(calls, tmp_path, told.append)
    files = [calls.prepare(uuid4(), to, ring_s=10) for to in ("201", "202", "203")]
    for file, to in zip(files, ("201", "202", "203"), strict=True):
        file.place(tmp_path)
        calls.placed(file, {"to": to, "direction": "outbound"})
    (tmp_path / files[0].name).unlink()  # Asterisk has dialled, and given up
    calls.variables(files[1].call_id)
    await watch.look()
    assert told == []
    now_s = 10 + GRACE_S
    await watch.look()
    assert [(event["type"], event["call_id"], event["to"], event["reason"]) for event in told] == [
        ("call.unanswered", str(files[0].call_id), "201", "not_answered"),
        ("call.unanswered", str(files[2].call_id), "203", "not_dialled"),
    ]
    assert told[0]["variables"] == {"to": "201", "direction": "outbound"}
    assert os.listdir(tmp_path) == [files[1].name]


async def test_a_file_that_cannot_be_removed_keeps_no_other_from_being_told_and_removed(tmp_path: Path) -> None:
    now_s, told = 0.0, list[dict[str, Any]]()
    calls = OutboundCalls(OutboundSettings(outbound_allow="2??"), lambda: now_s)
    files = [calls.prepare(uuid4(), to, ring_s=10) for to in ("201", "202")]
    (tmp_path / files[0].name).mkdir()  # a folder cannot be unlinked, by whomever
    for file in files:
        calls.placed(file, {})
    files[1].place(tmp_path)
    now_s = 10 + GRACE_S
    await SpoolWatch(calls, tmp_path, told.append).look()
    assert [event["call_id"] for event in told] == [str(file.call_id) for file in files]
    assert os.listdir(tmp_path) == [files[0].name]


async def test_a_folder_that_cannot_be_read_ends_nothing(tmp_path: Path) -> None:
    calls = OutboundCalls(OutboundSettings(outbound_allow="2??"))
    calls.placed(calls.prepare(uuid4(), "201"), {})
    await SpoolWatch(calls, tmp_path / "gone", lambda event: None).look()
    assert calls.any_awaited
