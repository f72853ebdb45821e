"""`tts_gpu codec`: what the codec's convolutions take with other tiles, and the whole with the best of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch

from benchmarks.gpu.models import DEVICE
from engine.qwen3.cuda import graphs
from engine.qwen3.cuda.sound_graphs import SoundGraphs
from engine.qwen3.kernels import ahead, conv
from engine.qwen3.kernels.codec import FastCodec
from engine.qwen3.kernels.conv import Tiles
from tests.support.qwen3.random_codec import random_codec

CALLS, FRAMES = 256, 4
REPLAYS = 10
FEW_US = 100.0
"""Products that take less are left as they are."""
TRIED = [
    Tiles(*each)
    for each in (
        *((128, 128, 64, 8, 3), (128, 128, 64, 8, 4), (128, 128, 32, 8, 4), (128, 128, 32, 4, 5), (128, 128, 64, 4, 3)),
        *((128, 64, 64, 4, 4), (128, 64, 32, 4, 5), (128, 256, 64, 8, 3), (128, 256, 32, 8, 4), (256, 128, 64, 8, 3)),
        *((256, 128, 32, 8, 4), (64, 128, 64, 4, 4), (256, 64, 64, 8, 4), (256, 64, 32, 8, 4), (64, 256, 64, 4, 3)),
    )
]
Call = tuple[tuple[Any, ...], dict[str, Any]]
Shape = tuple[int, int, int]


def codec(widest: int) -> None:
    """Tries all tiles for every product of up to `widest` channels in, and then the best of them together."""
    fast = FastCodec(random_codec(DEVICE, torch.float32), 512, CALLS, dtype=torch.float16)
    recorded: list[Call] = []
    plain = conv.convolve

    def record(*args: Any, **options: Any) -> None:
        recorded.append((args, options))
        plain(*args, **options)

    conv.convolve = record  # type: ignore[assignment]
    slots = torch.arange(CALLS, device=DEVICE)
    codes = torch.randint(0, 2048, (CALLS, FRAMES, 16), device=DEVICE)
    pcm = torch.zeros(CALLS, FRAMES * fast.samples_per_frame, device=DEVICE)
    fast.decode(slots, codes, pcm)
    conv.convolve = plain
    shapes: dict[Shape, list[Call]] = {}
    for args, options in recorded:
        shapes.setdefault(_shape(args), []).append((args, options))
    before = conv.tiles_for
    now = {shape: _seconds(calls) * 1e6 for shape, calls in shapes.items()}
    slow = {shape: calls for shape, calls in shapes.items() if now[shape] >= FEW_US and shape[1] <= widest}
    with suppress(Exception), ahead.compiling():  # what cannot be loaded is told of below
        for tiles, calls in itertools.product(TRIED, slow.values()):
            _with(tiles, lambda calls=calls: plain(*calls[0][0], **calls[0][1]))
    best: dict[Shape, Tiles] = {}
    print(f"{CALLS} calls x {FRAMES} frames; outputs, channels in, taps: us now, best, with tiles")
    for shape, calls in slow.items():
        timed = []
        for tiles in TRIED:
            try:
                timed.append((_with(tiles, lambda calls=calls: _seconds(calls)) * 1e6, tiles))
            except Exception as error:  # too much shared memory, say
                print(f"  {shape} {tiles}: {type(error).__name__}")
        timed.sort(key=lambda entry: entry[0])
        best[shape] = timed[0][1]
        told = ", ".join(f"{us:.0f} {tuple(getattr(t, f) for f in Tiles.__slots__)}" for us, t in timed[:4])
        print(f"{shape!s:18} x {len(calls)} {now[shape]:9.0f} {timed[0][0]:9.0f}   {told}")
    print(f"all products {sum(now.values()):.0f} us")

    def chosen(rows: int, outputs: int, depth: int, taps: int) -> Tiles:
        found = best.get((outputs, depth, taps))
        return found if rows >= 2048 and found else before(rows, outputs, depth, taps)

    for name, tiles_for in (("now", before), ("best", chosen)):
        conv.tiles_for = tiles_for
        history = torch.randint(0, 2048, (513, 32, 16), device=DEVICE)
        made = SoundGraphs(fast, history, graphs.Capture(torch.cuda.Stream(), True), 512)
        with ahead.compiling():
            made.launch()
        made.build()
        sizes = ", ".join(
            f"{rows}x{frames} {seconds * 1e3:.3f}" for (rows, frames), seconds in sorted(made.seconds.items())
        )
        print(f"{name}: ms {sizes}")
        for calls in (3, 20, 40, 100, 200):
            told = ", ".join(f"{frames}: {made.cover(calls, frames)}" for frames in (1, 2, 4, 8))
            print(f"  {calls} calls are covered by {told}")
        del made
    conv.tiles_for = before


def _shape(args: tuple[Any, ...]) -> Shape:
    packed = args[0]
    return packed.weight.shape[0], packed.channels_in, packed.taps


def _with(tiles: Tiles, work: Callable[[], Any]) -> Any:
    before = conv.tiles_for
    conv.tiles_for = lambda *_: tiles
    try:
        return work()
    finally:
        conv.tiles_for = before


def _seconds(calls: Sequence[Call]) -> float:
    """Returns what the calls take together."""

    def run() -> None:
        for args, options in calls:
            conv.convolve(*args, **options)

    run()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    marks[0].record()
    for _ in range(REPLAYS):
        run()
    marks[1].record()
    marks[1].synchronize()
    return float(marks[0].elapsed_time(marks[1])) / REPLAYS / 1e3
