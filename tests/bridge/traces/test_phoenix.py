"""A whole call's trace in a collector that is not ours."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.traces.test_traces import traced
from tests.support.phoenix import running_phoenix


def lasts(span: dict[str, Any]) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(span["start_time"]), datetime.fromisoformat(span["end_time"])


@pytest.mark.timeout(600)
async def test_a_collector_shows_a_call_as_one_tree_of_spans(tmp_path: Path) -> None:
    kept = tmp_path / "phoenix"
    kept.mkdir()
    async with running_phoenix(kept) as phoenix:
        peer = await traced(phoenix.url, tmp_path)
        spans = await phoenix.until("call")
    assert {span["context"]["trace_id"] for span in spans} == {peer.id.hex}
    (root,) = (span for span in spans if span["parent_id"] is None)
    assert root["name"] == "call"
    assert root["attributes"]["talkspurt.call.end_reason"] == "caller hung up"
    by_id = {span["context"]["span_id"]: span for span in spans}
    turns = [span for span in spans if span["name"] == "invoke_agent default"]
    assert [by_id[turn["parent_id"]]["name"] for turn in turns] == ["call", "call"]
    parts = {span["name"] for span in spans if span["parent_id"] in {turn["context"]["span_id"] for turn in turns}}
    assert parts >= {"speech_to_text", "chat m", "execute_tool book", "text_to_speech", "playing"}
    for span in by_id.values():
        began, ended = lasts(span)
        assert lasts(root)[0] <= began <= ended <= lasts(root)[1], span["name"]
    assert "xyzzyplugh" not in str(spans), "nothing of what was said, unless it is asked for"
