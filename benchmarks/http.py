"""Measures the speech endpoints on the embedded voice: first byte and total, by pipelining and cache, beside calls too.

Prints Markdown for `docs/performance.md`. The client runs in this process, the server in another, on the same machine,
one request at a time over one kept connection. `first byte` is the first one of the body, `total` the last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import aiohttp
import numpy as np
import uvloop

from benchmarks import first_audio, pacing
from benchmarks.machine import facts
from benchmarks.servers import Running
from benchmarks.table import markdown
from bridge.converse.server_process import running_server
from bridge.dial.caller import Caller
from bridge.dial.client import CallsClient
from bridge.dial.command import CallPlan

TEXT = (
    "Thank you for calling about order number {n}. It was sent on Monday and it should be with you tomorrow morning. "
    "If it is not, call us again and we will look into it at once."
)
TIMES = 30
WARM_UP = 3
SOCKET = "/v1/audio/speech/ws"
FORMATS = ("wav", "mp3", "opus", "aac", "flac", "mulaw")
ENDPOINTS: list[tuple[str, str, dict[str, Any]]] = [
    *((f"/v1/audio/speech, {name}", "/v1/audio/speech", {"response_format": name, "stream": True}) for name in FORMATS),
    ("/v1/audio/speech, mp3, sse", "/v1/audio/speech", {"response_format": "mp3", "stream_format": "sse"}),
    ("/v1/audio/speech/stream", "/v1/audio/speech/stream", {}),
    ("/v1/audio/speech/stream/pcm", "/v1/audio/speech/stream/pcm", {}),
    ("/v1/audio/speech/stream/pcm, 8 kHz", "/v1/audio/speech/stream/pcm", {"sample_rate": 8_000}),
    (SOCKET, SOCKET, {}),
]
WAYS = ("", ", not pipelined", ", cached")
CALLS = 10
CALL_SECONDS = 15.0
HTTP_CLIENTS = (0, 4, 16)
FIRST_AUDIO_TIMES = 20


@dataclass(frozen=True, slots=True)
class Timing:
    """One answer."""

    first_ms: float
    total_ms: float
    body_bytes: int


class Connection:
    """A kept HTTP connection that does nothing but send and time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def post(self, path: str, body: dict[str, Any]) -> Timing:
        data = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        began_s = time.perf_counter()
        self._writer.write(head.encode() + data)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if not answer.startswith(b"http/1.1 200"):
            raise RuntimeError(answer.decode())
        if b"transfer-encoding: chunked" in answer:
            first_s, size = await self._read_chunks()
        else:
            size = int(answer.partition(b"content-length:")[2].partition(b"\r\n")[0])
            await self._reader.readexactly(1)
            first_s = time.perf_counter()
            await self._reader.readexactly(size - 1)
        return Timing((first_s - began_s) * 1000, (time.perf_counter() - began_s) * 1000, size)

    async def _read_chunks(self) -> tuple[float, int]:
        first_s, total = 0.0, 0
        while size := int(await self._reader.readline(), 16):
            await self._reader.readexactly(1)
            first_s = first_s or time.perf_counter()
            await self._reader.readexactly(size + 1)
            total += size
        await self._reader.readexactly(2)
        return first_s, total

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def over_socket(socket: aiohttp.ClientWebSocketResponse, body: dict[str, Any]) -> Timing:
    """Asks for the same over the WebSocket."""
    began_s, first_s, size = time.perf_counter(), 0.0, 0
    await socket.send_json(body)
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.BINARY:
            break
        first_s = first_s or time.perf_counter()
        size += len(message.data)
    return Timing((first_s - began_s) * 1000, (time.perf_counter() - began_s) * 1000, size)


@asynccontextmanager
async def speech_server(ahead: int) -> AsyncIterator[int]:
    """Runs a server whose pipeline makes `ahead` sentences beyond the one that is sent; yields its port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.http_server", "--ahead", str(ahead)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


class Client:
    """The endpoints of one server, over connections that are kept."""

    def __init__(self, connection: Connection, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._connection, self._socket = connection, socket

    @classmethod
    @asynccontextmanager
    async def of_server(cls, ahead: int) -> AsyncIterator[Client]:
        async with speech_server(ahead) as port, aiohttp.ClientSession() as session:
            connection = await Connection.open(port)
            async with session.ws_connect(f"http://127.0.0.1:{port}{SOCKET}") as socket:
                yield cls(connection, socket)
            await connection.close()

    async def ask(self, path: str, fields: dict[str, Any], number: int) -> Timing:
        body = {"input": TEXT.format(n=number), **fields}
        return await (over_socket(self._socket, body) if path == SOCKET else self._connection.post(path, body))


async def endpoints(times: int) -> dict[str, list[tuple[Timing, ...]]]:
    """Asks every endpoint three ways in turn: pipelined, not pipelined, and for what is in the cache."""
    numbers = count(1_000)
    found: dict[str, list[tuple[Timing, ...]]] = {}
    async with Client.of_server(ahead=1) as pipelined, Client.of_server(ahead=0) as plain:
        for name, path, fields in ENDPOINTS:
            for _ in range(WARM_UP):
                await pipelined.ask(path, fields, 1)
                await plain.ask(path, fields, 1)
            found[name] = [
                (
                    await pipelined.ask(path, fields, next(numbers)),
                    await plain.ask(path, fields, next(numbers)),
                    await pipelined.ask(path, fields, 1),
                )
                for _ in range(times)
            ]
    return found


def cell(values: list[float]) -> str:
    """Returns the median and the 95th percentile."""
    return f"{np.median(values):.1f} ({np.percentile(values, 95):.1f})"


async def print_endpoints(times: int) -> None:
    found = await endpoints(times)
    rows = [["endpoint", *(f"{what}{way}" for way in WAYS for what in ("first byte", "total"))]]
    for name, rounds in found.items():
        cells = [
            cell([getattr(timings[way], what) for timings in rounds])
            for way in range(len(WAYS))
            for what in ("first_ms", "total_ms")
        ]
        rows.append([f"`{name}`", *cells])
    seconds = np.median([timings[0].body_bytes for timings in found["/v1/audio/speech/stream/pcm"]]) / 48_000
    print(f"\nMilliseconds, median (p95) of {times}; three sentences, {seconds:.1f} s of audio.\n")
    print(markdown(rows))


async def keep_asking(url: str, numbers: Any) -> None:
    """One HTTP client that always wants something new."""
    async with aiohttp.ClientSession() as session:
        while True:
            body = {"input": TEXT.format(n=next(numbers)), "response_format": "mp3"}
            async with session.post(f"{url}/v1/audio/speech", json=body) as response:
                response.raise_for_status()
                await response.read()


async def beside_calls(clients: int, seconds: float, texts: int) -> list[str]:
    """Measures calls whose speech is being made, with `clients` over HTTP that never rest."""
    settings = {"ENGINE": "hibari", "AUDIO_CACHE_MAX": "0"}
    async with running_server(**settings) as server:
        numbers = count(1_000)
        load = [asyncio.create_task(keep_asking(server.http_url, numbers)) for _ in range(clients)]
        try:
            plan = CallPlan(
                host=server.host,
                port=server.port,
                http_url=server.http_url,
                calls=CALLS,
                seconds=seconds + pacing.SETTLE_S,
                settle_s=pacing.SETTLE_S,
                say=first_audio.WHILE_MADE,
            )
            before = next(numbers)
            one = await pacing.measure(Running(server.pid, server.port), plan)
            served = next(numbers) - before - 1
            underruns = await first_audio._underruns(server)
            first_ms = await call_first_audio(server.http_url, server.host, server.port, texts)
            failed = [task.exception() for task in load if task.done()]
        finally:
            for task in load:
                task.cancel()
            await asyncio.gather(*load, return_exceptions=True)
    if failed:
        raise RuntimeError(f"the load failed: {failed[0]}")
    return [
        str(clients),
        f"{served / (seconds + pacing.SETTLE_S):.1f}",
        *(f"{value:.2f}" for value in (one.p50_ms, one.p99_ms, one.p999_ms, one.max_ms)),
        str(underruns),
        cell(first_ms),
        f"{one.server_share:.0%}",
    ]


async def call_first_audio(http_url: str, host: str, port: int, texts: int) -> list[float]:
    """Returns ms from a text handed to one more call to its first voiced frame."""
    async with CallsClient(http_url) as client:
        caller = Caller()
        await caller.connect(host, port)
        try:
            await asyncio.sleep(first_audio.PAUSE_S)
            text = first_audio.SHORT
            return [await first_audio._time(caller, client, text.format(n=number + 11)) for number in range(texts)]
        finally:
            caller.hang_up()
            await caller.ended.wait()


async def print_beside_calls(seconds: float, texts: int) -> None:
    head = ["HTTP clients", "requests/s", "p50", "p99", "p99.9", "max"]
    rows = [[*head, "silent frames", "call's first audio", "server"]]
    rows += [await beside_calls(clients, seconds, texts) for clients in HTTP_CLIENTS]
    print(
        f"\n{CALLS} calls that speak without a pause, {seconds:.0f} s, while HTTP clients ask for new MP3s as fast as "
        "they are answered. Lateness of the calls' frames in ms; silent frames: speech that was not made in time; "
        "first audio of a further call in ms, median (p95).\n"
    )
    print(markdown(rows))


async def run(arguments: argparse.Namespace) -> None:
    print(markdown([("what", "on"), *facts()]))
    if "endpoints" in arguments.parts:
        await print_endpoints(5 if arguments.quick else TIMES)
    if "calls" in arguments.parts:
        await print_beside_calls(3.0 if arguments.quick else CALL_SECONDS, 3 if arguments.quick else FIRST_AUDIO_TIMES)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.http", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few of each: to try it, not to publish")
    parser.add_argument("--parts", nargs="+", choices=("endpoints", "calls"), default=("endpoints", "calls"))
    uvloop.run(run(parser.parse_args()))
