"""Measures by a virtual clock when the end of speech is known: python -m benchmarks.falling_silent [--sentences 12]

Callers of three voices say whole sentences on lines with more and more noise. The detector alone tells of the end, and
with the level (`bridge/hearing/speech_tail.py`). Counted from the last sample of the speech.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import Final

import numpy as np

from benchmarks.machine import facts
from benchmarks.phone_speech import FRESH, LINE_HZ, Clip, clips, with_pause
from benchmarks.table import markdown
from bridge.hearing.events import SpeechStopped
from bridge.hearing.speech_gate import GateRules, SpeechGate
from bridge.hearing.speech_tail import SpeechTail
from bridge.hearing.voice_model import WINDOW_SAMPLES, Memory, VoiceModel
from bridge.turns.end_of_turn import EndOfTurn
from engine.audio import ulaw_encode
from engine.speech import Pcm
from tests.support.g711 import ulaw_decode

BEFORE_MS: Final = 300
AFTER_MS: Final = 900
NOISE_DBFS: Final = (None, -60, -45, -35)
SHARES: Final = (5, 50, 95)
EARLIEST_MS: Final = -200
"""An end that is told earlier than this belongs to a pause within the sentence."""


def line(clip: Clip, before_ms: int, noise_dbfs: int | None, random: np.random.Generator) -> Pcm:
    """Returns what comes over a line with this noise, when somebody says this between two silences."""
    track = with_pause(clip.pcm, before_ms, AFTER_MS).astype(np.float64)
    if noise_dbfs is not None:
        track += random.standard_normal(len(track)) * 32768 * 10 ** (noise_dbfs / 20)
    return ulaw_decode(ulaw_encode(np.clip(track, -32768, 32767).astype(np.int16)))


def ends_ms(model: VoiceModel, track: Pcm, end_ms: float) -> list[tuple[float, float]]:
    """Returns for the detector alone and with the level: how late it has the end, and how late it tells of it."""
    gates = [SpeechGate(GateRules(stop_ms=EndOfTurn().quick_ms)) for _ in range(2)]
    found = [(np.nan, np.nan)] * len(gates)
    tail, memory = SpeechTail(), Memory()
    for start in range(0, len(track) - WINDOW_SAMPLES + 1, WINDOW_SAMPLES):
        window = track[start : start + WINDOW_SAMPLES].astype(np.float32) / 32768
        (probability,) = model.judge([window], [memory])
        quiet_ms = tail.push(window)
        for number, gate in enumerate(gates):
            event = gate.push(probability, quiet_ms=quiet_ms if number else 0)
            if isinstance(event, SpeechStopped) and (event.audio_end_ms or 0) > end_ms + EARLIEST_MS:
                found[number] = ((event.audio_end_ms or 0) - end_ms, gate.at_ms - end_ms)
    return found


def rows(model: VoiceModel, said: Sequence[Clip]) -> list[tuple[str, ...]]:
    """Returns the table."""
    quick_ms = EndOfTurn().quick_ms
    head = (
        "noise of the line",
        "told by",
        "the end is late by, ms, p5 / p50 / p95",
        f"told with {quick_ms} ms of silence",
    )
    table: list[tuple[str, ...]] = [head]
    random = np.random.default_rng(0)
    for noise_dbfs in NOISE_DBFS:
        found = []
        for number, clip in enumerate(said):
            before_ms = BEFORE_MS + number % 31  # so that windows begin anywhere in the speech
            end_ms = before_ms + len(clip.pcm) * 1000 / LINE_HZ
            found.append(ends_ms(model, line(clip, before_ms, noise_dbfs, random), end_ms))
        for way, name in enumerate(("the detector alone", "detector and level")):
            shares = np.nanpercentile([one[way] for one in found], SHARES, axis=0)
            cells = [" / ".join(f"{value:.0f}" for value in column) for column in shares.T]
            table.append((f"{noise_dbfs} dBFS" if noise_dbfs is not None else "none", name, *cells))
    return table


async def measure(args: argparse.Namespace) -> None:
    """Prints the table."""
    print(markdown([("", ""), *facts()]), flush=True)
    model = VoiceModel()
    print("\n" + markdown(rows(model, await clips(FRESH[: args.sentences]))))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=12, help="of which each voice says every one")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
