"""Where the time of a turn goes, from the caller's last sound to the agent's first frame. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram


class Mark(StrEnum):
    """The stations of a turn, in order."""

    SPEECH_END = "speech_end"
    TRANSCRIPT = "transcript"
    FIRST_TOKEN = "first_token"
    FIRST_SENTENCE = "first_sentence"
    FIRST_AUDIO = "first_audio"
    FIRST_FRAME = "first_frame"


@dataclass(slots=True)
class Trace:
    """One turn's marks, each set once, in seconds of the monotonic clock."""

    at_s: dict[Mark, float] = field(default_factory=dict)

    def mark(self, mark: Mark, now_s: float) -> None:
        """The turn has reached this station."""
        self.at_s.setdefault(mark, now_s)

    def stages_ms(self) -> dict[str, int]:
        """Each station's time after the first that was reached, and the whole turn's."""
        reached = [mark for mark in Mark if mark in self.at_s]
        if not reached:
            return {}
        return {f"{mark}_ms": round((self.at_s[mark] - self.at_s[reached[0]]) * 1000) for mark in reached}

    def between_s(self, first: Mark, second: Mark) -> float | None:
        if first not in self.at_s or second not in self.at_s:
            return None
        return self.at_s[second] - self.at_s[first]


STAGES: Final = [
    ("transcript", Mark.SPEECH_END, Mark.TRANSCRIPT),
    ("first_token", Mark.TRANSCRIPT, Mark.FIRST_TOKEN),
    ("first_sentence", Mark.FIRST_TOKEN, Mark.FIRST_SENTENCE),
    ("first_audio", Mark.FIRST_SENTENCE, Mark.FIRST_AUDIO),
    ("first_frame", Mark.FIRST_AUDIO, Mark.FIRST_FRAME),
    ("turn", Mark.SPEECH_END, Mark.FIRST_FRAME),
]


class ConversationMetrics:
    """What Prometheus is told about conversations."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.stage = Histogram(
            "talkspurt_turn_stage_seconds",
            "Time of a turn's stages; `turn` is from the caller's last sound to the agent's first frame",
            ["stage"],
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0),
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
        self.failures = Counter(
            "talkspurt_service_failures", "Calls sent to the fallback, by service", ["service"], registry=registry
        )

    def observe(self, trace: Trace) -> None:
        """Count a turn whose first frame has left."""
        for name, first, second in STAGES:
            elapsed_s = trace.between_s(first, second)
            if elapsed_s is not None:
                self.stage.labels(name).observe(max(elapsed_s, 0.0))
