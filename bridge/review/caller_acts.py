"""Finds the sounds of a call's caller, and what each of them is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.interaction.heard_frames import FRAME_S, HeardFrames, Span
from bridge.interaction.measures import Act, ActKind
from bridge.journal import events
from bridge.review.recorded_call import RecordedCall
from bridge.turns.words import BACKCHANNELS, Backchannels

AGENT_DBFS: Final = -50.0
"""The agent is heard where its peak is above this: it has no noise of its own."""
CALLER_DBFS: Final = -45.0
"""A caller is not heard below this level."""
ABOVE_NOISE_DB: Final = 12.0
"""Nor where it is not so much louder than the line's noise."""
NOISE_QUANTILE: Final = 0.1
JOIN_S: Final = 0.5
"""A caller who is silent for less goes on speaking."""
SHORTEST_S: Final = 0.1
"""A shorter sound is a click."""


def agent_frames(call: RecordedCall) -> HeardFrames:
    """Returns when the agent is heard."""
    peaks = np.abs(_frames(call, 1)).max(axis=1, initial=0.0)
    return HeardFrames(np.flatnonzero(peaks > 32768 * 10 ** (AGENT_DBFS / 20)) * FRAME_S)


def caller_acts(call: RecordedCall, language: str = "en") -> list[Act]:
    """Returns the caller's sounds: those that the journal names, else those that the server heard, else all sound.

    By the sound alone each of them is speech.
    """
    named = call.of(events.CallerAct)
    if named:
        acts = [Act(act.start_ms / 1000, act.end_ms / 1000, ActKind(act.kind)) for act in named]
    elif stretches := list(_told(call)):
        said = call.of(events.UserSaid)
        noises = Backchannels(BACKCHANNELS.get(language, ()))
        acts = [Act(one.start_s, one.end_s, _kind(one, said, noises)) for one in stretches]
    else:
        acts = [Act(one.start_s, one.end_s) for one in _loud(call)]
    return sorted(acts, key=lambda act: act.start_s)


def _told(call: RecordedCall) -> Iterable[Span]:
    """Yields the stretches of the caller's speech that the journal tells of."""
    start_ms: int | None = None
    for event in call.events:
        if isinstance(event, events.CallerStarted):
            start_ms = event.start_ms
        elif isinstance(event, events.CallerStopped) and start_ms is not None:
            yield Span(start_ms / 1000, max(start_ms, event.end_ms) / 1000)
            start_ms = None


def _kind(stretch: Span, said: Iterable[events.UserSaid], noises: Backchannels) -> ActKind:
    """Returns what a stretch is by its words: one without words is a cough, or something like it."""
    words = [one.text for one in said if one.start_ms / 1000 < stretch.end_s and one.end_ms / 1000 > stretch.start_s]
    if not any(words):
        return ActKind.VOCAL_TIC
    return ActKind.BACKCHANNEL if noises.all_of(" ".join(words)) else ActKind.SPEECH


def _loud(call: RecordedCall) -> list[Span]:
    """Returns the stretches in which the caller's side is louder than its noise."""
    frames = _frames(call, 0)
    if not len(frames):
        return []
    level_db = 10 * np.log10(np.mean(frames**2, axis=1) / 32768**2 + 1e-12)
    quiet_db = float(np.quantile(level_db, NOISE_QUANTILE))
    heard = np.flatnonzero(level_db > max(CALLER_DBFS, quiet_db + ABOVE_NOISE_DB)) * FRAME_S
    return [span for span in HeardFrames(heard).spans(JOIN_S) if span.end_s - span.start_s >= SHORTEST_S]


def _frames(call: RecordedCall, side: int) -> NDArray[np.float32]:
    """Returns one side's sound in frames of 20 ms, shape (frames, samples)."""
    frame = round(call.rate_hz * FRAME_S)
    samples = call.sound[: len(call.sound) // frame * frame, side]
    return samples.reshape(-1, frame).astype(np.float32)
