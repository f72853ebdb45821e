"""Measures by a virtual clock how many answers begun early are used: python -m benchmarks.early_answers [--turns 18]

Callers of three voices say whole sentences, and sentences with a pause of 800 ms. Detector, recogniser and end of turn
are the real ones. What a look and a judgement take is added to the clock as they take it on an idle machine, so that
the load of this one does not count.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from benchmarks.latency import halves, spread_over_voices
from benchmarks.machine import facts
from benchmarks.phone_speech import LINE_HZ, PAUSED, SENTENCES, clips, with_pause
from benchmarks.table import markdown
from bridge.hearing.asr.embedded import EmbeddedAsr
from bridge.hearing.asr.moonshine import Moonshine
from bridge.hearing.asr.recognition import Model, Recognition
from bridge.hearing.asr.recognizer_pool import ModelProcess, RecognizerPool
from bridge.hearing.asr.whisper import Whisper
from bridge.hearing.events import (
    Heard,
    Partial,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    Transcript,
)
from bridge.hearing.smart_turn import SmartTurn
from bridge.hearing.speech_gate import GateRules
from bridge.turns.actions import Action, Answer, Prepare
from bridge.turns.rules import Rules
from bridge.turns.turns import Turns
from engine.speech import Pcm
from tests.simulation.virtual_loop import VirtualLoop

BEFORE_MS: Final = 300
PAUSE_MS: Final = 800
AFTER_MS: Final = 1_500
FRAME_MS: Final = 20
MOONSHINE_MS: Final = 54
WHISPER_MS: Final = 110
JUDGE_MS: Final = 67
"""What each takes, p50 of an idle machine; Whisper's is worked out from its processor time."""


class TimedModel(ModelProcess):
    """A model that is asked in this process, and takes as long as it is told."""

    def __init__(self, name: str, model: Model, takes_ms: float) -> None:
        super().__init__(name, "en")
        self._model = model
        self._takes_s = takes_ms / 1000

    async def _ask(self, pcm: bytes) -> Recognition:
        found = self._model.recognise(pcm)
        await asyncio.sleep(self._takes_s)
        return found


class TimedJudge(SmartTurn):
    """The judge of the sound, likewise."""

    async def probability(self, pcm: bytes) -> float:
        chance = await super().probability(pcm)
        await asyncio.sleep(JUDGE_MS / 1000)
        return chance


@dataclass(slots=True)
class Call:
    """The answers of one call; times are ms of its audio."""

    begun_ms: list[float] = field(default_factory=list)
    answered_ms: list[float] = field(default_factory=list)
    used: int = 0


async def call(models: tuple[Moonshine, Whisper], judge: SmartTurn, track: Pcm, pause_ms: int) -> Call:
    """Returns what comes of a caller's audio. The agent has nothing to say."""
    loop = asyncio.get_running_loop()
    started_s, turns, found = loop.time(), Turns(Rules(early_answers=True)), Call()
    pool = RecognizerPool()
    pool.processes = [
        TimedModel("moonshine", models[0], MOONSHINE_MS),
        TimedModel("whisper", models[1], WHISPER_MS),
    ]

    def heard(event: Heard) -> None:
        at_ms = (loop.time() - started_s) * 1000
        for action in acts(event):
            if isinstance(action, Prepare):
                found.begun_ms.append(at_ms)
            elif isinstance(action, Answer):
                found.answered_ms.append(at_ms)
                found.used += action.prepared
                turns.began(loop.time())
                turns.finished(loop.time())

    def acts(event: Heard) -> list[Action]:
        match event:
            case SpeechStarted():
                return turns.speech_started(loop.time())
            case SpeechStopped():
                return turns.speech_stopped(loop.time())
            case SpeechPaused():
                return turns.speech_paused()
            case SpeechResumed():
                turns.speech_resumed()
            case Partial(text):
                return turns.partial(loop.time(), text)
            case Transcript(text):
                return turns.transcript(loop.time(), text)
        return []

    asr = EmbeddedAsr(pool, heard, smart_turn=judge, rules=GateRules(pause_ms=pause_ms), now_s=loop.time)
    task = asyncio.create_task(asr.run())
    samples = FRAME_MS * LINE_HZ // 1000
    for start in range(0, len(track), samples):
        await asyncio.sleep(started_s + (start + samples) / LINE_HZ - loop.time())
        asr.push(track[start : start + samples].tobytes(), LINE_HZ)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return found


async def measure(said: list[Any], args: argparse.Namespace) -> None:
    """Prints the table."""
    whole = spread_over_voices([clip for clip in said if clip.ended], args.turns)
    paused = spread_over_voices(halves(said), args.turns)
    models, judge = (Moonshine(), Whisper("en")), TimedJudge()
    rows: list[tuple[str, ...]] = [
        (
            "EARLY_ANSWER_MS",
            "sentences",
            "answers begun early",
            "used",
            "the last begun after, ms, p50 / p95",
            "words final after, p50 / p95",
        )
    ]
    for pause_ms in args.pauses:
        calls = [await call(models, judge, with_pause(clip.pcm, BEFORE_MS, AFTER_MS), pause_ms) for clip in whole]
        ends_ms = [BEFORE_MS + len(clip.pcm) * 1000 / LINE_HZ for clip in whole]
        begun = [c.begun_ms[-1] - end for c, end in zip(calls, ends_ms, strict=True) if c.begun_ms]
        final = [c.answered_ms[-1] - end for c, end in zip(calls, ends_ms, strict=True) if c.answered_ms]
        rows.append((f"{pause_ms}", "whole", *_used(calls), _spread(begun), _spread(final)))
        tracks = [np.concatenate((with_pause(a, BEFORE_MS, PAUSE_MS), with_pause(b, 0, AFTER_MS))) for a, b in paused]
        calls = [await call(models, judge, track, pause_ms) for track in tracks]
        rows.append((f"{pause_ms}", f"with a pause of {PAUSE_MS} ms", *_used(calls), "", ""))
    print("\n" + markdown(rows))


def _spread(values_ms: list[float]) -> str:
    p50, p95 = np.percentile(values_ms, (50, 95))
    return f"{p50:.0f} / {p95:.0f}"


def _used(calls: list[Call]) -> tuple[str, str]:
    begun, used = sum(len(c.begun_ms) for c in calls), sum(c.used for c in calls)
    return f"{begun}", f"{used}, {used / max(begun, 1):.0%}"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=18)
    parser.add_argument("--pauses", type=int, nargs="+", default=(64,), help="EARLY_ANSWER_MS of each line")
    args = parser.parse_args()
    print(markdown([("", ""), *facts()]), flush=True)
    said = asyncio.run(clips(SENTENCES, PAUSED))
    loop = VirtualLoop(0)
    loop.run_until_complete(measure(said, args))
    loop.close()


if __name__ == "__main__":
    main()
