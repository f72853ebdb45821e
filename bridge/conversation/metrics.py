"""The metrics of conversations for Prometheus."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from bridge.conversation.trace import WAITED_STAGES, Mark, TurnTrace

SERVICES: Final = ("asr", "llm", "realtime", "engine")
VOICE_TO_VOICE_BUCKETS_S: Final = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0)
"""People answer one another within 0.2 s, and notice a silence of more than a second."""


class ConversationMetrics:
    """Counters and histograms that all conversations share."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.stage = Histogram(
            "talkspurt_turn_stage_seconds",
            "Time of those stages of a turn that the caller waits for, by the names that they have in the journal",
            ["stage"],
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0),
            registry=registry,
        )
        self.voice_to_voice = Histogram(
            "talkspurt_voice_to_voice_seconds",
            "Time from the caller's last sound to the agent's first frame, by agent",
            ["agent"],
            buckets=VOICE_TO_VOICE_BUCKETS_S,
            registry=registry,
        )
        self.characters = Counter(
            "talkspurt_answer_characters",
            "Characters of the agent's turns that callers heard, and of those that were cut before",
            ["agent", "outcome"],
            registry=registry,
        )
        self.silence = Histogram(
            "talkspurt_interrupt_to_silence_seconds",
            "Time from a barge-in signal to the last voiced sample on the wire",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1),
            registry=registry,
        )
        self.interruptions = Counter(
            "talkspurt_interruptions", "Replies paused or dropped, by how it went on", ["outcome"], registry=registry
        )
        self.early_answers = Counter(
            "talkspurt_early_answers",
            "Answers begun before the caller was known to be done, by whether they were used or wasted",
            ["outcome"],
            registry=registry,
        )
        self.agent_calls = Counter("talkspurt_agent_calls", "Calls begun, by agent", ["agent"], registry=registry)
        self.handovers = Counter(
            "talkspurt_handovers", "Calls that one agent gave to another", ["from", "to"], registry=registry
        )
        self.early_tokens = Counter(
            "talkspurt_early_answer_tokens",
            "Pieces, mostly tokens, that models had sent of answers begun early when those were used or wasted",
            ["outcome"],
            registry=registry,
        )
        self.failures = Counter(
            "talkspurt_service_failures", "Calls sent to the fallback, by service", ["service"], registry=registry
        )
        for service in SERVICES:
            self.failures.labels(service)  # Prometheus sees no increase in a counter that it has not seen at 0

    def early(self, outcome: str, tokens: int) -> None:
        """Counts an answer that was begun early, `used` or `wasted`, and what the model had sent of it."""
        self.early_answers.labels(outcome).inc()
        self.early_tokens.labels(outcome).inc(tokens)

    def heard(self, agent: str, heard: str, unheard: str) -> None:
        """Counts what a caller heard of a turn, and what not."""
        self.characters.labels(agent, "heard").inc(len(heard))
        self.characters.labels(agent, "unheard").inc(len(unheard))

    def observe(self, trace: TurnTrace, agent: str) -> None:
        """Counts the stages of a turn whose first frame has left."""
        if (voice_to_voice_s := trace.between_s(Mark.SPEECH_END, Mark.FIRST_FRAME)) is not None:
            self.voice_to_voice.labels(agent).observe(max(voice_to_voice_s, 0.0))
        for stage, first, last in WAITED_STAGES:
            if (elapsed_s := trace.between_s(first, last)) is not None:
                self.stage.labels(stage).observe(max(elapsed_s, 0.0))
