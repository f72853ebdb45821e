"""Telephone calls with an echo, by a virtual clock: real voices, a simulated loudspeaker, the real detector."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from unittest.mock import patch

import numpy as np

from bridge.hearing import echo_canceller
from bridge.hearing.echo_canceller import EchoCanceller
from bridge.hearing.events import SpeechStarted
from bridge.hearing.speech_gate import GateRules, SpeechGate
from bridge.hearing.voice_model import WINDOW_SAMPLES, Memory, VoiceModel
from engine.audio import resample
from engine.hibari import HibariEngine
from engine.speech import Pcm, Style
from tests.support.echo_path import RATE_HZ, EchoPath
from tests.support.voices import caller_says

FRAME_SAMPLES = RATE_HZ // 50
ANSWERS = 5
"""How many answers a call has: the canceller learns in the first."""
GAP_MS = 1_000
BEFORE_MS = 500
AFTER_MS = 600
"""How long after the end of an answer what is heard may still be its echo, beside the echo's delay."""
BARGE_IN_MS = (500, 2_000)
"""Where in an answer the caller begins."""
CALLER_DB = (-9.0, 0.0)
"""The caller's level against that of a voice at -19 dBFS."""
SAID = (
    "Wait, stop.", "I would like to book a table, please.", "Can I bring my dog?", "Hello? Are you there?",
    "What time do you open on Sunday?", "No, that is not what I asked.", "Actually, I need a ticket for tomorrow.",
    "Excuse me, is there a restaurant?",
)  # fmt: skip


class Layer(Enum):
    """What stands between the caller's sound and the detector."""

    OFF = "off (the -40 dBFS gate alone)"
    FILTER = "the filter alone"
    GATE = "the echo gate alone"
    BOTH = "filter and gate (on)"


@dataclass(slots=True)
class EchoCall:
    """One call: what the agent sent, what came from the caller's side, and who spoke when, in samples."""

    sent: Pcm
    heard: Pcm
    caller: Pcm
    answers: list[tuple[int, int]]
    barge_ins: list[tuple[int, int]]
    delay_ms: float
    words: list[tuple[int, str]] = field(default_factory=list)
    """Each word that the agent said, and the sample where it begins."""
    said: list[str] = field(default_factory=list)
    """What the caller says in each of the barge-ins."""
    echo_due: list[bool] = field(default_factory=list)
    """For each frame whether the canceller expects an echo in it."""
    may_echo: list[bool] = field(default_factory=list)
    """For each frame whether there may be an echo in this call, as far as the canceller knows."""


@dataclass(frozen=True, slots=True)
class Voiced:
    """One answer in the agent's voice."""

    pcm: Pcm
    words: list[tuple[int, str]]


async def agent_says(engine: HibariEngine, text: str) -> Voiced:
    """Returns `text` at 8 kHz, and where its words begin."""
    starts: list[int] = []
    stream: AsyncGenerator[Pcm] = engine.stream(text, Style(on_word_starts=starts.extend))
    async with aclosing(stream) as pieces:
        pcm = np.concatenate([piece async for piece in pieces])
    scale = RATE_HZ / engine.sample_rate_hz
    words = [(round(start * scale), word) for start, word in zip(starts, text.split(), strict=False)]
    return Voiced(resample(pcm, engine.sample_rate_hz, RATE_HZ), words)


def make_call(
    voiced: Sequence[Voiced],
    seed: int,
    level_db: float,
    delay_ms: float,
    *,
    double_talk: bool,
    yields_ms: int | None = None,
    **path: Any,
) -> EchoCall:
    """Returns a call of ANSWERS answers, in each of which the caller barges in where there is double talk.

    The agent falls silent `yields_ms` after the caller has begun; with None it goes on.
    """
    random = np.random.default_rng(seed)
    chosen = [voiced[number] for number in random.choice(len(voiced), ANSWERS, replace=False)]
    at, answers, words, pieces = BEFORE_MS * RATE_HZ // 1000, [], [], [np.zeros(BEFORE_MS * RATE_HZ // 1000, np.int16)]
    for answer in chosen:
        words += [(at + start, word) for start, word in answer.words]
        answers.append((at, at + len(answer.pcm)))
        pieces += [answer.pcm, np.zeros(GAP_MS * RATE_HZ // 1000, np.int16)]
        at += len(pieces[-2]) + len(pieces[-1])
    sent = np.concatenate(pieces)
    sent = sent[: len(sent) // FRAME_SAMPLES * FRAME_SAMPLES]
    caller, barge_ins, texts = np.zeros(len(sent), np.int16), [], []
    for start, stop in answers if double_talk else ():
        texts.append(SAID[int(random.integers(len(SAID)))])
        said = caller_says(texts[-1]) * 10 ** (random.uniform(*CALLER_DB) / 20)
        begin = start + int(random.integers(*BARGE_IN_MS)) * RATE_HZ // 1000
        said = said[: len(sent) - begin]
        caller[begin : begin + len(said)] = said
        barge_ins.append((begin, begin + len(said)))
        if yields_ms is not None:
            sent[max(start, min(begin + yields_ms * RATE_HZ // 1000, stop)) : stop] = 0
    heard = EchoPath(level_db, delay_ms, seed).through(sent, caller, **path)
    return EchoCall(sent, heard, caller, answers, barge_ins, delay_ms, words, texts)


class _Open(echo_canceller.EchoGate):
    def passes(self, rest: float, echo: float, unsure: float = 0.0) -> bool:
        return True

    def passes_unknown(self, heard: float, loudest_sent: float, blocks: int) -> bool:
        return True


class _Deaf(echo_canceller.EchoFilter):
    def cancel(self, sent: Any, heard: Any) -> tuple[Any, Any]:
        return heard, np.zeros_like(heard)


@contextmanager
def only(layer: Layer) -> Iterator[None]:
    """Takes the other layer out of every canceller made meanwhile."""
    parts: dict[Layer, tuple[str, type]] = {Layer.FILTER: ("EchoGate", _Open), Layer.GATE: ("EchoFilter", _Deaf)}
    if layer not in parts:
        yield
        return
    with patch.object(echo_canceller, *parts[layer]):
        yield


def cleaned(call: EchoCall, layer: Layer) -> tuple[Pcm, list[float]]:
    """Returns what the detector is given, and the µs that each frame took. Notes in the call when an echo is due."""
    if layer is Layer.OFF:
        call.echo_due, call.may_echo = [], []
        return call.heard, []
    frames, took_us, due, may_echo = [], [], [], []
    with only(layer):
        canceller = EchoCanceller(RATE_HZ)
        for start in range(0, len(call.heard), FRAME_SAMPLES):
            sent, heard = (side[start : start + FRAME_SAMPLES].tobytes() for side in (call.sent, call.heard))
            begun_s = time.thread_time()
            canceller.sent(sent, RATE_HZ, start / RATE_HZ)
            frames.append(canceller.push(heard))
            took_us.append((time.thread_time() - begun_s) * 1e6)
            due.append(canceller.echo_due)
            may_echo.append(canceller.may_echo)
    call.echo_due, call.may_echo = due, may_echo
    return np.frombuffer(b"".join(frames), np.int16), took_us


def starts_ms(model: VoiceModel, tracks: Sequence[Pcm], calls: Sequence[EchoCall]) -> list[list[float]]:
    """Returns for each track when the detector told that speech had started, all judged in one batch."""
    windows = max(len(track) for track in tracks) // WINDOW_SAMPLES
    samples = np.zeros((len(tracks), windows * WINDOW_SAMPLES), np.float32)
    for row, track in zip(samples, tracks, strict=True):
        row[: len(track)] = track[: len(row)].astype(np.float32) / 32768
    gates = [SpeechGate(GateRules()) for _ in tracks]
    memories = [Memory() for _ in tracks]
    found: list[list[float]] = [[] for _ in tracks]
    for index in range(windows):
        window = samples[:, index * WINDOW_SAMPLES : (index + 1) * WINDOW_SAMPLES]
        probabilities = model.judge(list(window), memories)
        levels = 10 * np.log10(np.mean(window * window, axis=1) + 1e-10)
        end = (index + 1) * WINDOW_SAMPLES
        for row, (gate, call) in enumerate(zip(gates, calls, strict=True)):
            frame = end // FRAME_SAMPLES
            due = frame < len(call.echo_due) and call.echo_due[frame]
            speaks = due or any(begin <= end <= stop for begin, stop in call.answers)
            may_echo = frame >= len(call.may_echo) or call.may_echo[frame]
            heard = probabilities[row], float(levels[row])
            event = gate.push(*heard, agent_speaks=speaks, may_echo=may_echo)
            if isinstance(event, SpeechStarted):
                found[row].append(end * 1000 / RATE_HZ)
    return found


def false_starts_ms(call: EchoCall, starts: Sequence[float]) -> list[float]:
    """Returns the first start in each answer that the caller has not caused."""
    found = []
    for begin, end in call.answers:
        last_ms = end * 1000 / RATE_HZ + call.delay_ms + AFTER_MS
        if inside := [start for start in starts if begin * 1000 / RATE_HZ <= start <= last_ms]:
            found.append(inside[0])
    return found


def barge_in_ms(call: EchoCall, starts: Sequence[float]) -> list[float]:
    """Returns after how many ms each of the caller's barge-ins was heard; infinity where it was not."""
    found = []
    for begin, end in call.barge_ins:
        first_ms, last_ms = begin * 1000 / RATE_HZ, end * 1000 / RATE_HZ + 300
        found.append(next((start - first_ms for start in starts if first_ms <= start <= last_ms), float("inf")))
    return found


def erle_db(call: EchoCall, track: Pcm) -> float:
    """Returns by how much the echo is quieter, over all answers but the first, in which the canceller learns."""
    late = round(call.delay_ms * RATE_HZ / 1000)
    before = after = 1.0
    for begin, end in call.answers[1:]:
        before += float(np.sum(call.heard[begin + late : end + late].astype(np.float64) ** 2))
        after += float(np.sum(track[begin + late : end + late].astype(np.float64) ** 2))
    return float(10 * np.log10(before / after))
