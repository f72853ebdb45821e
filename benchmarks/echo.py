"""Echo: false barge-ins by the agent's own sound, and real ones in spite of it, by level, delay and layer.

    python -m benchmarks.echo [--calls 40] [--levels -10 -20] [--delays 150] [--layers both] [--plot docs/echo.png]

By a virtual clock: the agent is hibari, the callers are SVOX Pico, the loudspeaker, room and line are simulated
(`tests/support/echo_path.py`), the detector is the one of the calls. The agent goes on speaking whatever is heard.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.echo_calls import (
    RATE_HZ,
    EchoCall,
    Layer,
    Voiced,
    agent_says,
    barge_in_ms,
    cleaned,
    erle_db,
    false_starts_ms,
    make_call,
    starts_ms,
)
from benchmarks.echo_lines import LINES, over
from benchmarks.echo_plot import plot
from benchmarks.echo_wer import wrong_words
from benchmarks.hibari import SENTENCES
from benchmarks.machine import facts
from benchmarks.table import markdown
from bridge.hearing.voice_model import VoiceModel
from bridge.turns.echo_words import is_echo
from bridge.turns.words import words
from engine.hibari import HibariEngine
from tests.support.recognition import recognise

LEVELS_DB = (-10, -20, -30, -40)
NO_ECHO_DB = -120
DELAYS_MS = (50, 150, 400)
SOON_MS = 200
CHANGES: dict[str, dict[str, object]] = {
    "none": {},
    "clocks 10 ppm apart": {"drift_ppm": 10.0},
    "60 ms later in mid-call": {"jump": (10 * RATE_HZ, 60.0)},
    "100 ms sooner in mid-call": {"jump": (10 * RATE_HZ, -100.0)},
}
PARTS = ("table", "changes", "lines", "words", "wer", "cost")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=40, help="of five answers each")
    parser.add_argument("--plot", type=Path, help="where to write a picture of one call")
    parser.add_argument("--levels", type=int, nargs="*", default=(NO_ECHO_DB, *LEVELS_DB), help="in dB")
    parser.add_argument("--delays", type=int, nargs="*", default=DELAYS_MS, help="in ms")
    parser.add_argument("--layers", nargs="*", choices=[layer.name.lower() for layer in Layer], help="of the table")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    print(markdown([("machine", ""), *facts()]), "\n")
    engine = HibariEngine()
    await engine.start()
    voiced = [await agent_says(engine, sentence) for sentence in SENTENCES]
    await engine.close()
    model = VoiceModel()
    if arguments.plot is not None:
        plot(make_call(voiced, 3, -10, 150, double_talk=True, jump=(10 * RATE_HZ, 60.0)), arguments.plot)
    if "table" in arguments.parts:
        layers = [layer for layer in Layer if arguments.layers is None or layer.name.lower() in arguments.layers]
        print(markdown(table(model, voiced, arguments.calls, arguments.levels, arguments.delays, layers)), "\n")
    if "changes" in arguments.parts:
        print(markdown(changes(model, voiced, arguments.calls)), "\n")
    if "lines" in arguments.parts:
        print(markdown(lines(model, voiced, arguments.calls)), "\n")
    if "words" in arguments.parts:
        print(markdown(await echo_words(model, voiced, arguments.calls)), "\n")
    if "wer" in arguments.parts:
        print(markdown(await wrong_words(voiced, arguments.calls, NO_ECHO_DB)), "\n")
    if "cost" in arguments.parts:
        print(markdown(cost(voiced)))


def table(
    model: VoiceModel,
    voiced: Sequence[Voiced],
    calls: int,
    levels_db: Sequence[int],
    delays_ms: Sequence[int],
    layers: Sequence[Layer],
) -> list[Sequence[str]]:
    """Measures every layer at every level and delay."""
    rows: list[Sequence[str]] = [
        (
            "echo",
            "layer",
            "false barge-ins %",
            f"barge-ins heard within {SOON_MS} ms %",
            "ever %",
            "p50 ms",
            "p95 ms",
            "ERLE dB",
        )
    ]
    for level_db in levels_db:
        for delay_ms in delays_ms if level_db != NO_ECHO_DB else delays_ms[:1]:
            quiet = [make_call(voiced, seed, level_db, delay_ms, double_talk=False) for seed in range(calls)]
            talk = [make_call(voiced, seed, level_db, delay_ms, double_talk=True) for seed in range(calls)]
            for layer in layers:
                name = "none" if level_db == NO_ECHO_DB else f"{level_db} dB, {delay_ms} ms"
                rows.append((name, layer.value, *_measures(model, quiet, talk, layer)))
                print(" | ".join(rows[-1]), flush=True)
    return rows


def changes(model: VoiceModel, voiced: Sequence[Voiced], calls: int) -> list[Sequence[str]]:
    """Measures an echo that changes in mid-call."""
    rows: list[Sequence[str]] = [
        (
            "change",
            "echo",
            "false barge-ins %",
            f"barge-ins heard within {SOON_MS} ms %",
            "ever %",
            "p50 ms",
            "p95 ms",
            "ERLE dB",
        )
    ]
    for (name, change), level_db in product(CHANGES.items(), (-10, -20)):
        quiet = [make_call(voiced, seed, level_db, 150, double_talk=False, **change) for seed in range(calls)]
        talk = [make_call(voiced, seed, level_db, 150, double_talk=True, **change) for seed in range(calls)]
        rows.append((name, f"{level_db} dB", *_measures(model, quiet, talk, Layer.BOTH)))
    return rows


def lines(model: VoiceModel, voiced: Sequence[Voiced], calls: int) -> list[Sequence[str]]:
    """Measures what a line costs that holds frames back or loses them."""
    rows: list[Sequence[str]] = [("line", "echo", "false barge-ins %")]
    for line, level_db in product(LINES, (-10, -20)):
        made = [make_call(voiced, seed, level_db, 150, double_talk=False) for seed in range(calls)]
        tracks = [over(line, call, level_db, seed) for seed, call in enumerate(made)]
        found = zip(made, starts_ms(model, tracks, made), strict=True)
        false = sum(len(false_starts_ms(call, starts)) for call, starts in found)
        rows.append((line.name, f"{level_db} dB", f"{100 * false / sum(len(call.answers) for call in made):.1f}"))
        print(" | ".join(rows[-1]), flush=True)
    return rows


def _measures(model: VoiceModel, quiet: Sequence[EchoCall], talk: Sequence[EchoCall], layer: Layer) -> tuple[str, ...]:
    tracks = [cleaned(call, layer)[0] for call in quiet]
    false = [
        len(false_starts_ms(call, starts)) for call, starts in zip(quiet, starts_ms(model, tracks, quiet), strict=True)
    ]
    heard = starts_ms(model, [cleaned(call, layer)[0] for call in talk], talk)
    after_ms = [ms for call, starts in zip(talk, heard, strict=True) for ms in barge_in_ms(call, starts)]
    in_time = [ms for ms in after_ms if ms < float("inf")]
    erle = median(erle_db(call, track) for call, track in zip(quiet, tracks, strict=True))
    return (
        f"{100 * sum(false) / sum(len(call.answers) for call in quiet):.1f}",
        f"{100 * np.mean([ms <= SOON_MS for ms in after_ms]):.1f}",
        f"{100 * len(in_time) / len(after_ms):.1f}",
        f"{np.percentile(in_time, 50):.0f}" if in_time else "",
        f"{np.percentile(in_time, 95):.0f}" if in_time else "",
        f"{erle:.0f}",
    )


async def echo_words(model: VoiceModel, voiced: Sequence[Voiced], calls: int) -> list[Sequence[str]]:
    """Measures what a recogniser makes of the echoes that start a barge-in, and how many the words give away."""
    rows: list[Sequence[str]] = [
        ("echo", "layer", "false starts", "with words", "of these taken for an echo", "answered: false barge-ins %")
    ]
    for level_db, layer in product((-10, -20), (Layer.OFF, Layer.FILTER, Layer.BOTH)):
        calls_of = calls if layer is Layer.BOTH else calls // 4  # recognition takes half a second a start
        made = [make_call(voiced, seed, level_db, 150, double_talk=False) for seed in range(calls_of)]
        tracks = [cleaned(call, layer)[0] for call in made]
        found = with_words = echoes = 0
        for call, track, starts in zip(made, tracks, starts_ms(model, tracks, made), strict=True):
            for start_ms in false_starts_ms(call, starts):
                found += 1
                heard = words(await recognise(_until_paused(call, track, start_ms), RATE_HZ))
                said = [
                    word
                    for at, text in call.words
                    if -1_000 <= at * 1000 / RATE_HZ - start_ms <= 150
                    for word in words(text)
                ]
                with_words += bool(heard)
                echoes += is_echo(heard, said)
        answers = sum(len(call.answers) for call in made)
        left = f"{100 * (with_words - echoes) / answers:.1f}"
        rows.append((f"{level_db} dB", layer.value, f"{found}", f"{with_words}", f"{echoes}", left))
        print(" | ".join(rows[-1]), flush=True)
    return rows


def _until_paused(call: EchoCall, track: np.ndarray, start_ms: float) -> np.ndarray:
    """Returns what the recogniser is given: from before the sound to the end of the echo, for the agent pauses."""
    begin, end = (round((start_ms + ms) * RATE_HZ / 1000) for ms in (-400, call.delay_ms + 20))
    return np.concatenate((track[max(begin, 0) : end], np.zeros(RATE_HZ // 2, np.int16)))


def cost(voiced: Sequence[Voiced]) -> list[Sequence[str]]:
    """Measures the time of a frame on the event loop."""
    rows: list[Sequence[str]] = [("a frame of 20 ms, µs", "median", "p95")]
    for name, level_db in (("an echo is cancelled", -20), ("the agent speaks, no echo", NO_ECHO_DB)):
        call = make_call(voiced, 1, level_db, 150, double_talk=False)
        took = cleaned(call, Layer.BOTH)[1]
        at = [frame for begin, end in call.answers[2:] for frame in range(begin // 160 + 1, end // 160)]
        rows.append((name, *(f"{np.percentile([took[frame] for frame in at], share):.0f}" for share in (50, 95))))
    silent = make_call(voiced, 1, NO_ECHO_DB, 150, double_talk=False)
    silent.sent = np.zeros_like(silent.sent)
    took = cleaned(silent, Layer.BOTH)[1]
    rows.append(("the agent is silent", *(f"{np.percentile(took, share):.0f}" for share in (50, 95))))
    return rows


if __name__ == "__main__":
    asyncio.run(main())
