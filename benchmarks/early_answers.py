"""Measures by a virtual clock how many answers begun early are used: python -m benchmarks.early_answers [--turns 18]

Callers of three voices say whole sentences, and sentences with a pause of 800 ms. The embedded recogniser and the end
of turn are the real ones, but a look takes no time, so that the load of the machine does not count.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from benchmarks.latency import halves, spread_over_voices
from benchmarks.machine import facts
from benchmarks.phone_speech import LINE_HZ, PAUSED, SENTENCES, clips, with_pause
from benchmarks.table import markdown
from bridge.hearing.asr.embedded import EmbeddedAsr
from bridge.hearing.asr.recognizer_pool import RecognizerPool
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

BEFORE_MS: Final = 300
PAUSE_MS: Final = 800
AFTER_MS: Final = 1_500


@dataclass(slots=True)
class Call:
    """The answers of one call; times are ms of its audio."""

    begun_ms: list[float] = field(default_factory=list)
    answered_ms: list[float] = field(default_factory=list)
    used: int = 0


async def call(pool: RecognizerPool, judge: SmartTurn, track: Pcm, pause_ms: int) -> Call:
    """Returns what comes of a caller's audio. The agent has nothing to say."""
    turns, found, at_ms = Turns(Rules(early_answers=True)), Call(), 0.0

    def heard(event: Heard) -> None:
        for action in acts(event):
            if isinstance(action, Prepare):
                found.begun_ms.append(at_ms)
            elif isinstance(action, Answer):
                found.answered_ms.append(at_ms)
                found.used += action.prepared
                turns.began(at_ms / 1000)
                turns.finished(at_ms / 1000)

    def acts(event: Heard) -> list[Action]:
        match event:
            case SpeechStarted():
                return turns.speech_started(at_ms / 1000)
            case SpeechStopped():
                return turns.speech_stopped(at_ms / 1000)
            case SpeechPaused():
                return turns.speech_paused()
            case SpeechResumed():
                turns.speech_resumed()
            case Partial(text):
                return turns.partial(at_ms / 1000, text)
            case Transcript(text):
                return turns.transcript(at_ms / 1000, text)
        return []

    asr = EmbeddedAsr(pool, heard, smart_turn=judge, rules=GateRules(pause_ms=pause_ms))
    for start in range(0, len(track), 160):
        at_ms = start * 1000 / LINE_HZ
        asr.push(track[start : start + 160].tobytes(), LINE_HZ)
        await pool.detector.settled()
        while not asr._looks.empty():
            look = asr._looks.get_nowait()
            if look.final or look.settles or look is asr._latest:
                await asr._recognise(look)
    asr._ear.close()
    return found


async def measure(args: argparse.Namespace) -> None:
    """Prints the table."""
    print(markdown([("", ""), *facts()]), flush=True)
    said = await clips(SENTENCES, PAUSED)
    whole = spread_over_voices([clip for clip in said if clip.ended], args.turns)
    paused = spread_over_voices(halves(said), args.turns)
    pool, judge = RecognizerPool("auto"), SmartTurn()
    await pool.start()
    rows: list[tuple[str, ...]] = [
        (
            "EARLY_ANSWER_MS",
            "sentences",
            "answers begun early",
            "used",
            "begun after, ms p50",
            "words final after, p50 / p95",
        )
    ]
    for pause_ms in args.pauses:
        calls = [await call(pool, judge, with_pause(clip.pcm, BEFORE_MS, AFTER_MS), pause_ms) for clip in whole]
        ends_ms = [BEFORE_MS + len(clip.pcm) * 1000 / LINE_HZ for clip in whole]
        begun = [c.begun_ms[-1] - end for c, end in zip(calls, ends_ms, strict=True) if c.begun_ms]
        final = [c.answered_ms[-1] - end for c, end in zip(calls, ends_ms, strict=True) if c.answered_ms]
        p50, p95 = np.percentile(final, (50, 95))
        rows.append((f"{pause_ms}", "whole", *_used(calls), f"{np.median(begun):.0f}", f"{p50:.0f} / {p95:.0f}"))
        tracks = [np.concatenate((with_pause(a, BEFORE_MS, PAUSE_MS), with_pause(b, 0, AFTER_MS))) for a, b in paused]
        calls = [await call(pool, judge, track, pause_ms) for track in tracks]
        rows.append((f"{pause_ms}", f"with a pause of {PAUSE_MS} ms", *_used(calls), "", ""))
    print("\n" + markdown(rows))
    await pool.close()
    await judge.close()


def _used(calls: list[Call]) -> tuple[str, str]:
    begun, used = sum(len(c.begun_ms) for c in calls), sum(c.used for c in calls)
    return f"{begun}", f"{used}, {used / max(begun, 1):.0%}"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=18)
    parser.add_argument("--pauses", type=int, nargs="+", default=(64,), help="EARLY_ANSWER_MS of each line")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
