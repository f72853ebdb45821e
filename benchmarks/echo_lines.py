"""Lines that hold frames back or lose them, between a loudspeaker and the echo canceller. By a virtual clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.echo_calls import FRAME_SAMPLES, RATE_HZ, EchoCall
from bridge.hearing.echo_canceller import EchoCanceller
from bridge.hearing.gap_filler import GapFiller
from bridge.line.clock import TICK_S, Clock
from engine.speech import Pcm
from tests.support.echo_path import EchoPath

EVERY_S = 1.0
"""How often something stands still, on average."""
BEAT_TICKS = 5
QUIET_RMS = 100
"""What is quieter is not sent in DTX: -50 dBFS."""
QUIET_FRAMES = 10
"""After so many frames of it the telephone sends nothing."""


@dataclass(frozen=True, slots=True)
class Line:
    """What happens to the frames of one call."""

    name: str
    telephone_stalls_ms: int = 0
    """For how long the telephone's frames are held back at most."""
    server_stalls_ms: int = 0
    """For how long the server does nothing at most."""
    lost: float = 0.0
    """The share of the telephone's frames that never come."""
    jitter_ms: int = 0
    """By how much each of its frames is late at most, beside a part of a tick that is the same in all of a call."""
    silent: bool = False
    """Whether the telephone sends nothing while it is quiet (DTX)."""


LINES = (
    Line("nothing"),
    Line("the telephone's sound stands still for up to 150 ms, once a second", telephone_stalls_ms=150),
    Line("the server stands still for up to 150 ms, once a second", server_stalls_ms=150),
    Line("1 % of the telephone's frames are lost", lost=0.01),
    Line("5 % of the telephone's frames are lost", lost=0.05),
    Line("each of the telephone's frames is up to 10 ms late", jitter_ms=10),
    Line("the telephone sends nothing while it is quiet (DTX)", silent=True),
    Line("the same, each frame up to 10 ms late", silent=True, jitter_ms=10),
)


def over(line: Line, call: EchoCall, level_db: float, seed: int) -> Pcm:
    """Returns what the detector is given of a call over this line. Notes in the call when an echo is due."""
    random, frames = np.random.default_rng(seed), len(call.sent) // FRAME_SAMPLES
    sent, caller = (side[: frames * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES) for side in (call.sent, call.caller))
    far, ours = (_stalls(random, ms, frames * TICK_S) for ms in (line.telephone_stalls_ms, line.server_stalls_ms))
    ticks_s = _ticks(frames, ours)
    played = np.zeros_like(sent)
    for number, at in enumerate(_played_at(ticks_s)):
        if at < frames:
            played[at] = sent[number]
    heard = EchoPath(level_db, call.delay_ms, seed).through(played.reshape(-1), caller.reshape(-1))
    canceller, rest, due, may_echo = EchoCanceller(RATE_HZ), bytearray(), [], []
    filler = GapFiller(0.0, clean=lambda pcm, _rate_hz: canceller.push(pcm))
    comes_s = np.maximum.accumulate([_end(far, (number + 1) * TICK_S) for number in range(frames)])
    kept = np.flatnonzero(random.random(frames) >= line.lost)
    if line.jitter_ms:
        comes_s = comes_s + random.uniform(0, TICK_S) + random.uniform(0, line.jitter_ms / 1000, frames)
    if line.silent:
        kept = kept[~_unsent(heard)[kept]]
    happens = sorted(
        [(at_s, 0, number) for number, at_s in enumerate(ticks_s)]
        + [(_end(ours, comes_s[number]), 1, number) for number in kept]
        + [(_end(ours, number * TICK_S), 2, 0) for number in range(0, frames, BEAT_TICKS)]
    )
    for at_s, kind, number in happens:
        if kind == 0:
            canceller.sent(sent[number].tobytes(), RATE_HZ, at_s)
        elif kind == 1:
            start = number * FRAME_SAMPLES
            rest += filler.push(heard[start : start + FRAME_SAMPLES].tobytes(), RATE_HZ, at_s)
        else:
            rest += filler.fill(at_s)
        new = len(rest) // (2 * FRAME_SAMPLES) - len(due)
        due += [canceller.echo_due] * new
        may_echo += [canceller.may_echo] * new
    call.echo_due, call.may_echo = due, may_echo
    return np.frombuffer(bytes(rest), np.int16)


def _stalls(random: np.random.Generator, longest_ms: int, length_s: float) -> list[tuple[float, float]]:
    stalls: list[tuple[float, float]] = []
    at_s = random.exponential(EVERY_S)
    while longest_ms and at_s < length_s:
        stalls.append((at_s, at_s + random.uniform(40, longest_ms) / 1000))
        at_s = stalls[-1][1] + random.exponential(EVERY_S)
    return stalls


def _unsent(heard: Pcm) -> NDArray[np.bool_]:
    """Tells for each frame whether a telephone does not send it because it is quiet, and others before it were."""
    frames = heard.reshape(-1, FRAME_SAMPLES).astype(np.float64)
    quiet = np.sqrt(np.mean(frames**2, axis=1)) < QUIET_RMS
    loud_at = np.maximum.accumulate(np.where(quiet, -1, np.arange(len(quiet))))
    return np.asarray(np.arange(len(quiet)) - loud_at > QUIET_FRAMES)


def _end(stalls: list[tuple[float, float]], at_s: float) -> float:
    """Returns when that happens which was to happen at `at_s`."""
    return next((end for begin, end in stalls if begin <= at_s < end), at_s)


def _ticks(count: int, stalls: list[tuple[float, float]]) -> list[float]:
    """Returns when the frames of a call leave, by the server's own clock."""
    clock, ticks_s = Clock(), list[float]()
    clock.join(ticks_s.append, -TICK_S)
    while len(ticks_s) < count:
        clock.run(_end(stalls, clock.next_s() or 0.0))
    return ticks_s


def _played_at(ticks_s: list[float]) -> list[int]:
    """Returns in which tick a telephone plays each frame. It waits for a late one as long as the clock does."""
    at, places = 0, []
    for tick_s in ticks_s:
        late = tick_s - at * TICK_S
        at = max(at, int(tick_s / TICK_S)) if late > 0.061 else at
        places.append(at)
        at += 1
    return places
