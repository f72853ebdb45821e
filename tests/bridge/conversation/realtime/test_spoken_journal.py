"""What a speech-to-speech service has said stands in the journal with the stages that a service has."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry

from bridge.conversation.journal import Journal
from bridge.conversation.metrics import ConversationMetrics
from bridge.conversation.realtime.spoken_journal import SpokenJournal


def test_the_making_of_a_turn_ends_with_its_last_sound() -> None:
    now_s, lines = 100.0, list[str]()

    def clock_s() -> float:
        return now_s

    journal = Journal("c", lambda: round((now_s - 100) * 1000), clock_s, lambda: 0.0)
    journal.followers.append(lines.append)
    spoken = SpokenJournal("c", journal, ConversationMetrics(CollectorRegistry()), clock_s, lambda: "shop")
    item: Any = SimpleNamespace(text="Here you are.", started_ms=0, utterance=SimpleNamespace(id="utt_1"))
    for at_s in (101.0, 101.5, 102.0):
        now_s = at_s
        spoken.sounded()
    now_s = 102.5
    spoken.started(item, 2_500)
    now_s = 109.0
    spoken.said(item)
    turn = next(line for line in map(json.loads, lines) if line["type"] == "turn.done")
    stages = {stage["stage"]: (stage["start_ms"], stage["end_ms"]) for stage in turn["stages"]}
    assert stages == {"first_frame": (1_000, 2_500), "making": (1_000, 2_000), "playing": (2_500, 9_000)}
