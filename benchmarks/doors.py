"""What a frame costs the server over each of its two doors: AudioSocket, and chan_websocket's WebSocket.

Prints Markdown for `docs/performance.md`. The callers run in this process, the server, all of `talkspurt serve` with an
engine whose audio is already made, in another. Every caller sends a frame each 20 ms and takes what comes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final, cast
from uuid import UUID, uuid4

import uvloop

from benchmarks.machine import Usage, facts
from benchmarks.servers import CLIP_TEXT, Running, serving, write_clip
from benchmarks.table import markdown
from bridge.calls_api.media import PATH
from bridge.dial.client import CallsClient, Rejected
from bridge.line.audiosocket import Kind
from bridge.line.audiosocket import encode as audiosocket
from bridge.line.websocket import Opcode
from bridge.line.websocket import encode as websocket

FRAME_S: Final = 0.02
SETTLE_S: Final = 2.0
SILENCE: Final = bytes(320)
DOORS: Final = ("AudioSocket", "WebSocket")
_MASK: Final = b"\x37\xfa\x21\x3d"


def masked(opcode: Opcode, payload: bytes) -> bytes:
    """Returns a frame as Asterisk, the client, sends it."""
    header = bytearray(websocket(opcode, payload)[: -len(payload)])
    header[1] |= 0x80
    return bytes(header) + _MASK + bytes(byte ^ _MASK[at % 4] for at, byte in enumerate(payload))


class Caller(asyncio.Protocol):
    """One call by one door. What comes is counted and dropped."""

    def __init__(self, door: str, call_id: UUID) -> None:
        self.frame = audiosocket(Kind.SLIN8, SILENCE) if door == "AudioSocket" else masked(Opcode.BINARY, SILENCE)
        self.received_bytes = 0
        self._first = audiosocket(Kind.UUID, call_id.bytes) if door == "AudioSocket" else _upgrade(call_id)
        self._start = b"" if door == "AudioSocket" else masked(Opcode.TEXT, _START)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._first)

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self._start:  # the server has agreed to the upgrade
            self.transport.write(self._start)
            self._start = b""

    @property
    def is_up(self) -> bool:
        return not self._start


_START: Final = json.dumps({"event": "MEDIA_START", "format": "slin", "optimal_frame_size": 320, "ptime": 20}).encode()


def _upgrade(call_id: UUID) -> bytes:
    return (
        f"GET {PATH}?id={call_id} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Protocol: media\r\n\r\n"
    ).encode()


async def measure(server: Running, door: str, calls: int, seconds: float) -> float:
    """Returns the microseconds of a core that the server spends on a call's frame, in and out."""
    loop = asyncio.get_running_loop()
    port = server.port if door == "AudioSocket" else int(server.http_url.rpartition(":")[2])
    callers: list[Caller] = []
    async with CallsClient(server.http_url) as client:
        for _ in range(calls):
            call_id = uuid4()
            _, caller = await loop.create_connection(lambda call_id=call_id: Caller(door, call_id), "127.0.0.1", port)
            callers.append(caller)
            while not caller.is_up:  # noqa: ASYNC110 - a caller has no event to wait on
                await asyncio.sleep(0.001)
            caller.transport.write(caller.frame)
            await _say(client, call_id)
        talking = asyncio.create_task(_talk(callers))
        await asyncio.sleep(SETTLE_S)
        before, received = Usage.now(server.pid), sum(caller.received_bytes for caller in callers)
        await asyncio.sleep(seconds)
        share = Usage.now(server.pid).share_since(before)[0]
        frames = (sum(caller.received_bytes for caller in callers) - received) / len(callers[0].frame)
        talking.cancel()
        for caller in callers:
            caller.transport.abort()
    if frames < 0.9 * calls * seconds / FRAME_S:
        raise RuntimeError(f"{door}: only {frames:,.0f} frames came")
    return share / (calls / FRAME_S) * 1e6


async def _say(client: CallsClient, call_id: UUID) -> None:
    for _ in range(100):
        await asyncio.sleep(0.005)
        with contextlib.suppress(Rejected):  # the server has not come round to the call yet
            await client.say(call_id, CLIP_TEXT)
            return
    raise RuntimeError("a call was not taken")


async def _talk(callers: list[Caller]) -> None:
    """Sends every caller's frames, a tenth of them at a time."""
    began_s, turn = time.monotonic(), 0
    while True:
        for caller in callers[turn % 10 :: 10]:
            caller.transport.write(caller.frame)
        turn += 1
        await asyncio.sleep(began_s + turn * FRAME_S / 10 - time.monotonic())


async def run(args: argparse.Namespace) -> None:
    """Measures and prints."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.wav"
        write_clip(clip)
        for calls in args.calls:
            costs_us: dict[str, list[float]] = {door: [] for door in DOORS}
            for repeat in range(args.repeats):
                for door in DOORS if repeat % 2 == 0 else reversed(DOORS):
                    async with serving("ours", clip) as server:
                        costs_us[door].append(await measure(server, door, calls, args.seconds))
            rows.append((str(calls), *(f"{median(costs_us[d]):.1f}" for d in DOORS)))
    print(
        markdown([("machine", ""), *facts()]), "", markdown([("calls", *(f"{d}, µs" for d in DOORS)), *rows]), sep="\n"
    )


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="benchmarks.doors", description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", nargs="+", type=int, default=[100, 500], metavar="N")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=3)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
