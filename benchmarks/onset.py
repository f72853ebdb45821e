"""Measures by a virtual clock what the detector lets interrupt the agent, and how soon: python -m benchmarks.onset

The sounds are those of `benchmarks.interaction`: interruptions, "mm-hm", coughs, and somebody beside the caller. Each
begins at another place of a window, while the agent speaks, after the caller has said something. The machine's load
does not count. A call adds to the start: up to one frame of 20 ms until the agent is silent, and the line.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.interaction import BESIDE, KINDS, VOICES
from benchmarks.machine import facts
from benchmarks.table import markdown
from bridge.converse.line_conditions import Samples
from bridge.converse.voices import RATE_HZ, Voices, embedded_voice
from bridge.hearing.events import SpeechStarted
from bridge.hearing.speech_gate import GateRules, SpeechGate
from bridge.hearing.vad import WINDOW_SAMPLES, Detector

FIRST = "Tell me about the house."
COUGHS = 40
BESIDE_DB = (-22, -12, -10, -8, -6)
BETWEEN_S = 1.0
NOISE = 1e-4
"""The line's own noise: -80 dBFS."""

Sound = tuple[str, float, list[tuple[float, float]]]
"""A kind, when the sound begins in ms, and the probability of speech and the level of each window."""


def judged(detector: Detector, parts: Sequence[Samples], random: np.random.Generator) -> list[tuple[float, float]]:
    """Returns the probability of speech and the level in dBFS of each window of these sounds, one after the other."""
    track = np.concatenate(parts)
    track = (track + random.normal(0, NOISE, track.size)).astype(np.float32)
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros((1, 32), np.float32)
    session: Any = detector._session
    found = []
    for start in range(0, track.size - WINDOW_SAMPLES + 1, WINDOW_SAMPLES):
        window = track[None, start : start + WINDOW_SAMPLES]
        inputs = {"input": np.hstack((context, window)), "state": state, "sr": np.array(RATE_HZ, np.int64)}
        probabilities, state = session.run(None, inputs)
        context = window[:, -32:]
        found.append((float(probabilities[0, 0]), float(10 * np.log10(np.mean(window * window) + 1e-10))))
    return found


async def sounds(detector: Detector) -> list[Sound]:
    """Returns all sounds, judged."""
    random = np.random.default_rng(3)
    found: list[Sound] = []
    async with embedded_voice() as engine:
        voices = Voices(engine)

        async def add(kind: str, voice: str, sound: Samples) -> None:
            first = await voices.say(FIRST, voice)
            before = np.zeros(round(BETWEEN_S * RATE_HZ) + int(random.integers(WINDOW_SAMPLES)))
            begun_ms = (first.size + before.size) * 1000 / RATE_HZ
            windows = judged(detector, (first, before, sound, np.zeros(RATE_HZ // 2)), random)
            found.append((kind, begun_ms, windows))

        for voice in VOICES:
            for kind in ("interruption", "mm-hm"):
                for text in KINDS[kind]:
                    await add(kind, voice, await voices.say(text, voice))
        for number in range(COUGHS):
            await add("cough", VOICES[0], voices.sound("cough", str(number), 0))
        for number, text in enumerate(KINDS["side talk"] * len(BESIDE)):
            said = await voices.say(text, BESIDE[number % len(BESIDE)])
            for level_db in BESIDE_DB:
                await add(
                    f"side talk, {-level_db} dB softer", VOICES[number % len(VOICES)], said * 10 ** (level_db / 20)
                )
    return found


def starts_ms(found: Sequence[Sound], kind: str, side_talk_db: float) -> tuple[int, list[float]]:
    """Returns how many sounds of a kind there are, and after how many ms the agent was interrupted by some of them."""
    count, after_ms = 0, []
    for name, begun_ms, windows in found:
        if name != kind:
            continue
        count += 1
        gate = SpeechGate(GateRules(side_talk_db=side_talk_db))
        for probability, level_dbfs in windows:
            speaks = gate.at_ms >= begun_ms - 100
            event = gate.push(probability, level_dbfs, agent_speaks=speaks)
            if speaks and isinstance(event, SpeechStarted):
                after_ms.append(gate.at_ms - begun_ms)
                break
    return count, after_ms


async def measure(args: argparse.Namespace) -> None:
    """Prints the table."""
    print(markdown([("", ""), *facts()]))
    detector = Detector()
    detector.load()
    found = await sounds(detector)
    kinds = list(dict.fromkeys(kind for kind, *_ in found))
    rows: list[tuple[str, ...]] = [("sounds that interrupt", *(f"SIDE_TALK_DB={db:g}" for db in args.margins))]
    for kind in kinds:
        cells = []
        for margin in args.margins:
            count, after_ms = starts_ms(found, kind, margin)
            spread = ", p50 {:.0f} ms, p95 {:.0f}".format(*np.percentile(after_ms, (50, 95))) if after_ms else ""
            cells.append(f"{len(after_ms)} of {count}{spread}")
        rows.append((kind, *cells))
    print("\n" + markdown(rows))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--margins", type=float, nargs="+", default=(0, 4, 6, 8), help="SIDE_TALK_DB of each column")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
