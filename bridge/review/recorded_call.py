"""A call that was recorded: its sound, its journal, or both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import av
import numpy as np
from numpy.typing import NDArray

from bridge.journal.events import CallStarted, Line
from bridge.journal.reading import read_journal

JOURNAL: Final = ".jsonl"
SIDES: Final = 2

Event = TypeVar("Event", bound=Line)


class NoRecording(ValueError):
    """A file is no recording of a call; the message says why."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One call. Both its sound and its journal begin when it was answered."""

    name: str
    events: list[Line]
    """The journal in its order; empty where there is none."""
    sound: NDArray[np.int16]
    """Caller left, agent right, shape (samples, 2); without samples where there is no sound."""
    rate_hz: int

    def of(self, kind: type[Event]) -> list[Event]:
        """Returns the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def started(self) -> CallStarted | None:
        """The journal's first line."""
        return next(iter(self.of(CallStarted)), None)

    @property
    def duration_s(self) -> float:
        """How long the call was, by its sound and by its journal."""
        told_ms = max((event.at_ms for event in self.events), default=0)
        return max(len(self.sound) / self.rate_hz, told_ms / 1000)


def load(path: Path) -> RecordedCall:
    """Returns the call of a sound file or a journal, beside which the other lies.

    Raises NoRecording, WrongJournal, OSError.
    """
    journal = path if path.suffix == JOURNAL else path.with_suffix(JOURNAL)
    wav = path.with_suffix(".wav") if path.suffix == JOURNAL else path
    events = read_journal(journal) if path == journal or journal.exists() else []
    sound, rate_hz = np.empty((0, SIDES), np.int16), 8_000
    if path == wav or wav.exists():
        sound, rate_hz = read_stereo(wav)
    return RecordedCall(path.stem, events, sound, rate_hz)


def read_stereo(path: Path) -> tuple[NDArray[np.int16], int]:
    """Returns a sound file's two sides, shape (samples, 2), and its rate. Raises NoRecording, OSError."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise NoRecording(f"{path}: holds no audio")
            context = container.streams.audio[0].codec_context
            if context.channels != SIDES:
                raise NoRecording(f"{path}: has {context.channels} channels, not the caller left and the agent right")
            rate_hz = context.sample_rate
            to_int16 = av.AudioResampler(format="s16", layout="stereo", rate=rate_hz)
            pieces = [
                piece.to_ndarray()[0].astype(np.int16, copy=False)
                for frame in [*container.decode(audio=0), None]
                for piece in to_int16.resample(frame)
            ]
    except av.error.InvalidDataError:
        raise NoRecording(f"{path}: is no audio that can be decoded") from None
    samples = np.concatenate(pieces) if pieces else np.empty(0, np.int16)
    return samples.reshape(-1, SIDES), rate_hz
