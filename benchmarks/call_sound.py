"""Measures what `serve` takes of its core for 160 ms of one call's sound: off the engine's pipe and at 8 kHz.

    python -m benchmarks.call_sound [--rounds 300]

Beside it is how it was done before: pickled, in pieces of 160 ms, and then at the model's rate. Processor time of one
thread, so that other work on the machine counts for little; medians of rounds that take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pickle
import time
from collections.abc import Callable
from statistics import median

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `serve` does, before numpy is imported

import numpy as np

from benchmarks.machine import facts
from benchmarks.table import markdown
from engine.audio import Resampler, resample
from engine.child import LENGTH
from engine.qwen3.messages import Audio
from engine.qwen3.settings import SAMPLE_RATE_HZ
from engine.qwen3.sound_message import packed, unpacked

LINE_HZ = 8_000
CHUNK_MS = 640
PIECE_MS = 160
CHUNKS = 8
"""The chunks of one round."""

Unpack = Callable[[bytes], Audio]


async def taken_us(payloads: list[bytes], unpack: Unpack, rate_hz: int = SAMPLE_RATE_HZ) -> float:
    """Returns the processor time of one round, for each 160 ms of sound."""
    reader, resampler = asyncio.StreamReader(limit=2**30), Resampler(rate_hz, LINE_HZ)
    for payload in payloads:
        reader.feed_data(LENGTH.pack(len(payload)) + payload)
    begun_s = time.thread_time()
    for _ in payloads:
        (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
        resampler.push(np.frombuffer(unpack(await reader.readexactly(length)).pcm, np.int16))
    return (time.thread_time() - begun_s) * 1e6 / (CHUNKS * CHUNK_MS / PIECE_MS)


async def run(rounds: int) -> None:
    print(markdown([("machine", ""), *facts()]))
    noise = np.random.default_rng(0).normal(0, 3000, SAMPLE_RATE_HZ * CHUNK_MS // 1000).astype(np.int16)
    pieces = np.split(noise, CHUNK_MS // PIECE_MS)
    before = [pickle.dumps(Audio(7, piece.tobytes()), pickle.HIGHEST_PROTOCOL) for piece in pieces] * CHUNKS
    wide = [packed(Audio(7, noise.tobytes()), 0.0)[LENGTH.size :]] * CHUNKS
    narrow = resample(noise, SAMPLE_RATE_HZ, LINE_HZ)
    now = [packed(Audio(7, narrow.tobytes()), 0.0)[LENGTH.size :]] * CHUNKS
    timed = [
        (
            await taken_us(before, pickle.loads),
            await taken_us(wide, unpacked),
            await taken_us(now, unpacked, LINE_HZ),
        )
        for _ in range(rounds)
    ]
    names = ("pickled, 160 ms a message", "a chunk of 640 ms a message", "the same at 8 kHz")
    rows = [
        (name, *(f"{value:.1f}" for value in (median(us), min(us))))
        for name, us in zip(names, zip(*timed, strict=True), strict=True)
    ]
    print("\n" + markdown([("way", "µs for 160 ms of sound, median", "least"), *rows]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    asyncio.run(run(parser.parse_args().rounds))
