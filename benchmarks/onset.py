"""Measures by a virtual clock what the detector lets interrupt the agent, and how soon: python -m benchmarks.onset

The sounds are those of `benchmarks.interaction`: interruptions, "mm-hm", coughs, and somebody beside the caller, in
the caller's telephone or across a simulated room. Each
begins at another place of a window, while the agent speaks, after the caller has said something and has listened.
With --remembered the columns are how much of its state the model keeps over a window of silence. The machine's load
does not count. A call adds to the start: up to one frame of 20 ms until the agent is silent, and the line.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from itertools import product

import numpy as np

from benchmarks.interaction import BESIDE, KINDS, VOICES
from benchmarks.machine import facts
from benchmarks.table import markdown
from bridge.converse.line_conditions import Samples
from bridge.converse.voices import RATE_HZ, Voices, embedded_voice
from bridge.hearing.events import SpeechStarted
from bridge.hearing.speech_gate import GateRules, SpeechGate
from bridge.hearing.voice_model import REMEMBERED, WINDOW_SAMPLES, Memory, VoiceModel
from bridge.hearing.voice_traits import Traits, VoiceTraits

FIRST = "Tell me about the house."
COUGHS = 40
MUSIC_MS = 3_000
BESIDE_DB = (-12, -9)
SOFT_DB = (-6, -9)
"""By how much softer than usual some callers interrupt."""
ROOM_MS = 350
REVERBERATION_S = 0.45
OFF_AXIS_HZ = 1_800
"""Above this a voice that speaks elsewhere loses up to 6 dB."""
BETWEEN_S = 4.0
"""For so long a caller has listened who interrupts."""
NOISE = 1e-4
"""The line's own noise: -80 dBFS."""

Window = tuple[float, float, Traits | None]
Sound = tuple[str, float, list[Window]]
"""A kind, when the sound begins in ms, and each window's probability of speech, level, and traits of its voice."""


def judged(model: VoiceModel, parts: Sequence[Samples], random: np.random.Generator) -> list[Window]:
    """Returns what the detector and the gate are told of each window of these sounds, one after the other."""
    track = np.concatenate(parts)
    track = (track + random.normal(0, NOISE, track.size)).astype(np.float32)
    found: list[Window] = []
    memory, voice = Memory(), VoiceTraits()
    for start in range(0, track.size - WINDOW_SAMPLES + 1, WINDOW_SAMPLES):
        window = track[start : start + WINDOW_SAMPLES]
        (probability,) = model.judge([window], [memory])
        level_dbfs = float(10 * np.log10(np.mean(window * window) + 1e-10))
        found.append((probability, level_dbfs, voice.push(window, wanted=probability >= 0.5)))
    return found


def in_room(sound: Samples, random: np.random.Generator) -> Samples:
    """Returns a voice as loud as it was, from so far away that half of it is reverberation."""
    samples = ROOM_MS * RATE_HZ // 1000
    response = random.standard_normal(samples) * np.exp(-6.9 * np.arange(samples) / RATE_HZ / REVERBERATION_S)
    response /= np.sqrt(np.sum(response[1:] ** 2))
    response[0] = 1.0
    pole = np.exp(-2 * np.pi * OFF_AXIS_HZ / RATE_HZ)
    duller = (1 - pole) * pole ** np.arange(64)
    duller[0] += 1.0
    heard = np.convolve(np.convolve(sound, response), duller)[: sound.size + samples // 2]
    return np.asarray(heard * np.sqrt(np.mean(sound**2) / np.mean(heard[: sound.size] ** 2)), np.float64)


async def sounds(model: VoiceModel) -> list[Sound]:
    """Returns all sounds, judged."""
    random = np.random.default_rng(3)
    found: list[Sound] = []
    async with embedded_voice() as engine:
        voices = Voices(engine)

        async def add(kind: str, voice: str, sound: Samples) -> None:
            first = await voices.say(FIRST, voice)
            before = np.zeros(round(BETWEEN_S * RATE_HZ) + int(random.integers(WINDOW_SAMPLES)))
            begun_ms = (first.size + before.size) * 1000 / RATE_HZ
            windows = judged(model, (first, before, sound, np.zeros(RATE_HZ // 2)), random)
            found.append((kind, begun_ms, windows))

        for voice in VOICES:
            for kind in ("interruption", "mm-hm"):
                for text in KINDS[kind]:
                    await add(kind, voice, await voices.say(text, voice))
            for text in KINDS["interruption"]:
                for level_db in SOFT_DB:
                    softer = await voices.say(text, voice) * 10 ** (level_db / 20)
                    await add(f"interruption, {-level_db} dB softer than usual", voice, softer)
        for number in range(COUGHS):
            await add("cough", VOICES[0], voices.sound("cough", str(number), 0))
            await add("music", VOICES[0], voices.sound("music", str(number), MUSIC_MS))
        for voice, beside, text in product(VOICES, BESIDE, KINDS["side talk"]):
            said = await voices.say(text, beside)
            for level_db, (name, sound) in product(BESIDE_DB, (("", said), (", in a room", in_room(said, random)))):
                await add(f"side talk{name}, {-level_db} dB softer", voice, sound * 10 ** (level_db / 20))
    return found


def starts_ms(found: Sequence[Sound], kind: str, side_talk_db: float) -> tuple[int, list[float]]:
    """Returns how many sounds of a kind there are, and after how many ms the agent was interrupted by some of them."""
    count, after_ms = 0, []
    for name, begun_ms, windows in found:
        if name != kind:
            continue
        count += 1
        gate = SpeechGate(GateRules(side_talk_db=side_talk_db))
        for probability, level_dbfs, traits in windows:
            speaks = gate.at_ms >= begun_ms - 100
            known = traits if gate.compares(agent_speaks=speaks) else None
            event = gate.push(probability, level_dbfs, agent_speaks=speaks, may_echo=False, traits=known)
            if speaks and isinstance(event, SpeechStarted):
                after_ms.append(gate.at_ms - begun_ms)
                break
    return count, after_ms


async def measure(args: argparse.Namespace) -> None:
    """Prints the table."""
    print(markdown([("", ""), *facts()]))
    shares = args.remembered or [REMEMBERED]
    judged_by = {share: await sounds(VoiceModel(share)) for share in shares}
    kinds = list(dict.fromkeys(kind for kind, *_ in judged_by[shares[0]]))
    ways = list(product(shares, args.margins if args.remembered is None else [0.0]))
    heads = [f"SIDE_TALK_DB={db:g}" if args.remembered is None else f"{share:g} kept" for share, db in ways]
    rows: list[tuple[str, ...]] = [("sounds that interrupt", *heads)]
    for kind in kinds:
        cells = []
        for share, margin in ways:
            count, after_ms = starts_ms(judged_by[share], kind, margin)
            spread = ", p50 {:.0f} ms, p95 {:.0f}".format(*np.percentile(after_ms, (50, 95))) if after_ms else ""
            cells.append(f"{len(after_ms)} of {count}{spread}")
        rows.append((kind, *cells))
    print("\n" + markdown(rows))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--margins", type=float, nargs="+", default=(0, 6, 8, 10), help="SIDE_TALK_DB of each column")
    parser.add_argument("--remembered", type=float, nargs="+", help="shares of the model's state, a column each")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
