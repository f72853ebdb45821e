"""What it costs the serving process to take the model's sound from another: over the pipe, or through shared memory.

The pipe is the product's own way, both ends: `pack` and one write a batch there, `ModelProcess` here. The other way has
a ring in shared memory: the sound is written there once and copied out once, and a notice of where it lies takes the
same pipe, in the same messages. A ring that is fuller than full would need a way to wait, and one who dies in the
middle a way to be cleaned up after: neither is here.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
import time
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory

import numpy as np

from benchmarks.table import markdown
from bridge.dial.lateness import Spread
from bridge.dial.table import PERCENTILES, spread_cells
from engine.child import pack, read
from engine.qwen3.host.process import ModelProcess
from engine.qwen3.messages import Audio, Event
from engine.qwen3.settings import QwenSettings

CHUNK_BYTES = 2 * 1920
"""80 ms at 24 kHz."""
RING_BYTES = CHUNK_BYTES * 4096
EVERY_S = 0.005
TURNS = 400
CHUNKS = (1, 8, 64)
"""The chunks handed over together, every 5 ms: 64 are the sound of 1,024 calls."""
WAYS = ("pipe", "shared memory")
COPIES = {"pipe": 9, "shared memory": 2}
"""The copies of each sample on its way from the model's array to one in the serving process, counted by reading: for
the pipe into bytes, a pickle, a message, a batch, the kernel; then into bytes, the reader's buffer, a message, and the
unpickled bytes."""
PLACE = struct.Struct("<QI")


@dataclass(frozen=True, slots=True)
class Handover:
    """The costs of one way, with so many chunks at a time."""

    way: str
    together: int
    latency_ms: Spread
    """The time from before the sender's packing until the sound is an array here."""
    receiver_us: float
    """The processor time of a chunk here; the next is the sender's."""
    sender_us: float


async def measure(way: str, together: int) -> Handover:
    """Let a process hand over sound for two seconds."""
    ring = SharedMemory(create=True, size=RING_BYTES)
    assert ring.buf is not None
    memory = ring.buf
    late_ms: list[float] = []
    begun_s = receiver_s = sender_s = 0.0
    over = asyncio.Event()

    def on_event(process: ModelProcess, event: Event) -> None:
        nonlocal begun_s, receiver_s, sender_s
        assert isinstance(event, Audio)
        if event.end is not None:
            receiver_s, sender_s = time.process_time() - begun_s, float(event.end)
            over.set()
            return
        begun_s = begun_s or time.process_time()
        pcm = event.pcm
        if way != "pipe":
            at, size = PLACE.unpack(pcm)
            pcm = bytes(memory[at : at + size])
        samples = np.frombuffer(pcm, np.int16)
        late_ms.append((time.monotonic_ns() - int(samples[:4].view(np.int64)[0])) / 1e6)

    process = await ModelProcess.start(
        on_event,
        lambda process, status: over.set(),
        ("-P", "-m", "benchmarks.tts_clock_handover", way, str(together), ring.name),
    )
    process.load(QwenSettings.model_construct())
    try:
        await over.wait()
    finally:
        await process.close()
        ring.close()
        ring.unlink()
    count = together * TURNS
    spread = Spread.of(np.array(late_ms))
    if spread is None or spread.count != count:
        raise RuntimeError(f"{way}: {len(late_ms)} chunks of {count} arrived")
    return Handover(way, together, spread, receiver_s / count * 1e6, sender_s / count * 1e6)


async def report() -> str:
    """Every way and load, as a section of Markdown."""
    rows = [("way", "together", "chunks/s", "copies", "serving, µs", "model, µs", "latency p50, ms", *PERCENTILES[1:])]
    for together in CHUNKS:
        for way in WAYS:
            one = await measure(way, together)
            cells = (str(together), f"{together / EVERY_S:,.0f}", str(COPIES[way]))
            rows.append((way, *cells, f"{one.receiver_us:.1f}", f"{one.sender_us:.1f}", *spread_cells(one.latency_ms)))
    return f"""
## From the model's process to the serving one

Chunks of 80 ms of sound ({CHUNK_BYTES} bytes), so many together every {EVERY_S * 1000:.0f} ms, {TURNS} times, with no
model. `serving` and `model` are processor time a chunk at either end; latency is from before the packing there to an
array here; copies are of each sample on its whole way, counted by reading.

{markdown(rows)}"""


def hand_over(way: str, together: int, ring: SharedMemory) -> None:
    """The model's side: a batch every 5 ms, as a turn of the worker hands out what it made."""
    assert ring.buf is not None
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    sound = np.ones((together, CHUNK_BYTES // 2), np.int16)
    at, used_s, due_s = 0, time.process_time(), time.monotonic()
    for _ in range(TURNS):
        due_s += EVERY_S
        time.sleep(max(0.0, due_s - time.monotonic()))
        events = []
        sound[:, :4] = np.frombuffer(struct.pack("<Q", time.monotonic_ns()), np.int16)
        for number, pcm in enumerate(sound):
            if way == "pipe":
                events.append(Audio(number, pcm.tobytes()))
                continue
            np.frombuffer(ring.buf, np.int16, pcm.size, at)[:] = pcm
            events.append(Audio(number, PLACE.pack(at, pcm.nbytes)))
            at = (at + pcm.nbytes) % RING_BYTES
        out.write(b"".join(map(pack, events)))
        out.flush()
    out.write(pack(Audio(0, b"", str(time.process_time() - used_s))))
    out.flush()


if __name__ == "__main__":
    read(sys.stdin.buffer)
    shared = SharedMemory(sys.argv[3])
    resource_tracker.unregister(f"/{shared.name}", "shared_memory")  # it is the other process's to remove
    hand_over(sys.argv[1], int(sys.argv[2]), shared)
    sys.stdin.buffer.read()  # what it used is read before it is gone
    shared.close()
