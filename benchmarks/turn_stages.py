"""Where the time of a turn goes: its stations on one clock, from the caller's last sound to the sound at their ear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

STATIONS: Final = (
    "the speech's end, as the detector has it", "the end of speech is known", "the words are final",
    "the model is asked", "its first token", "its first sentence is whole", "the first sound is made",
    "the first frame leaves", "it is at the phone", "the first sound in it",
)  # fmt: skip
OWN: Final = (
    "the detector's end of speech is late by", "sentence (or final words, if later) → first sound made",
    "→ first frame leaves", "→ at the phone", "silence at its beginning", "own share, all of these",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TurnStages:
    """One turn, in ms after the caller's last sound. What was done early may lie before what it waits for."""

    trace: Mapping[str, float]
    """The server's own marks, counted from the end of speech as its detector has it."""
    sent_ms: float
    """When the first frame left."""
    asked_ms: float
    """When the model was asked for the answer that was heard."""
    arrived_ms: float
    """When the first voiced packet came to the phone."""
    inside_ms: float
    """How much of that packet is silent."""

    @property
    def _ended_ms(self) -> float:
        """The end of speech, as the detector has it."""
        return self.sent_ms - self.trace["first_frame_ms"]

    @property
    def decided_ms(self) -> float:
        """From the end of speech, as the detector has it, to the final words."""
        return self.trace.get("transcript_ms", 0)

    @property
    def model_ms(self) -> float:
        """From the final words to the model's first whole sentence; 0 where that was there before."""
        return max(self.trace["first_sentence_ms"] - self.decided_ms, 0)

    def stations(self) -> tuple[float, ...]:
        """Returns when each of STATIONS was reached."""
        names = ("end_known", "transcript", "first_token", "first_sentence", "first_audio")
        marks = {name: self._ended_ms + self.trace.get(f"{name}_ms", np.nan) for name in names}
        known, final, *made = marks.values()
        heard_ms = self.arrived_ms + self.inside_ms
        return (self._ended_ms, known, final, self.asked_ms, *made, self.sent_ms, self.arrived_ms, heard_ms)

    def own(self) -> tuple[float, ...]:
        """Returns how long each of OWN took: all but the recogniser and the model."""
        ready_ms = self.decided_ms + self.model_ms
        made_ms = max(self.trace["first_audio_ms"], ready_ms)
        steps = (
            self._ended_ms,
            made_ms - ready_ms,
            self.trace["first_frame_ms"] - made_ms,
            self.arrived_ms - self.sent_ms,
            self.inside_ms,
        )
        return (*steps, sum(steps))


def spread(values_ms: Sequence[float]) -> str:
    """Returns p50 / p95 of those that are known."""
    known = [value for value in values_ms if not np.isnan(value)]
    if not known:
        return "–"
    p50, p95 = np.quantile(known, (0.5, 0.95), method="inverted_cdf")
    return f"{p50:.0f} / {p95:.0f}"


def tables(ways: Mapping[str, Sequence[TurnStages]]) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Returns the table of the stations and that of the own share, with a column for each way."""
    ways = {name: turns for name, turns in ways.items() if turns}
    stations = [("ms after the last sound, p50 / p95", *ways)]
    own = [("ms, p50 / p95", *ways)]
    for table, names, of in ((stations, STATIONS, TurnStages.stations), (own, OWN, TurnStages.own)):
        columns = [list(zip(*map(of, turns), strict=True)) for turns in ways.values()]
        table += [(name, *(spread(column[row]) for column in columns)) for row, name in enumerate(names)]
    return stations, own
