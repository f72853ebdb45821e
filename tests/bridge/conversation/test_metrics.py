"""The metrics of conversations: their stages are those of the journal."""

from __future__ import annotations

from typing import get_args

from prometheus_client import CollectorRegistry

from bridge.conversation.metrics import ConversationMetrics
from bridge.conversation.trace import STAGES, Mark, TurnTrace
from bridge.journal.events import StageName


def test_the_stages_that_a_caller_waits_for_are_counted_by_the_names_that_the_journal_gives_them() -> None:
    registry = CollectorRegistry()
    at_s = {Mark.SPEECH_END: 0.0, Mark.END_KNOWN: 1.0, Mark.TRANSCRIPT: 2.0, Mark.ASKED: 3.0, Mark.FIRST_TOKEN: 7.0}
    at_s |= {Mark.FIRST_SENTENCE: 8.0, Mark.FIRST_AUDIO: 10.0, Mark.LAST_AUDIO: 10.5, Mark.FIRST_FRAME: 11.0}
    trace = TurnTrace(at_s)
    ConversationMetrics(registry).observe(trace, "shop")
    counted = {
        sample.labels["stage"]: registry.get_sample_value("talkspurt_turn_stage_seconds_sum", sample.labels)
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "talkspurt_turn_stage_seconds_count"
    }
    assert counted == {
        "end_of_turn": 1.0,
        "recogniser": 2.0,
        "model": 4.0,
        "first_sentence": 1.0,
        "first_sound": 2.0,
        "first_frame": 1.0,
    }
    assert [stage for stage, _, _ in STAGES] == list(get_args(StageName))
    assert list(counted) == list(get_args(StageName))[: len(counted)]
