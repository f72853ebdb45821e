"""Services of ours that turned bad: a recogniser, a language model and a tool that send as fast as they are read.

They are good to the calls of the ten others, and bad to the attacker's own call, in which they are made use of.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.attacks.target import Answers, Target
from benchmarks.attacks.transcripts import call, utterance
from benchmarks.attacks.wire import BINARY, CHUNK_BYTES, PING, TEXT, ask_json, unmasked, write

_WEB_SOCKET: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_STREAM: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
TURN_S: Final = 0.5
"""From one thing that the caller says to the next."""
GIGABYTE: Final = 2**30
DRIBBLE_S: Final = 0.05
_DELTA: Final = "conversation.item.input_audio_transcription.delta"
_COMPLETED: Final = "conversation.item.input_audio_transcription.completed"


class BadRecogniser:
    """A recogniser that says nothing of the calls that it has when the attack begins, and too much of the next."""

    def __init__(self, frames: Callable[[], Iterator[bytes]]) -> None:
        self._frames = frames
        self._bad = False
        self._connections = 0

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Mapping[str, str]]:
        """Serves, and gives the settings that lead to it."""
        self._bad, self._connections = False, 0
        async with serving(self._answer) as port:
            yield {"ASR_URL": f"ws://127.0.0.1:{port}"}

    async def run(self, target: Target, answers: Answers) -> None:
        """A call whose caller need not say a word."""
        self._bad = True
        try:
            async with call(target):
                await asyncio.Event().wait()
        finally:
            answers["connected"] += self._connections

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = next(line.split()[1] for line in head.splitlines() if line.lower().startswith(b"sec-websocket-key:"))
        accept = base64.b64encode(hashlib.sha1(key + _WEB_SOCKET, usedforsecurity=False).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        if not self._bad:
            return await asyncio.Event().wait()
        self._connections += 1
        return await pour(writer, self._frames())


class BadModel:
    """A language model whose answers have no end."""

    def __init__(self, events: Callable[[], Iterator[bytes]]) -> None:
        self._events = events
        self._requests = 0

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Mapping[str, str]]:
        """Serves, and gives the settings that lead to it."""
        self._requests = 0
        async with serving(self._answer) as port:
            yield {"LLM_BASE_URL": f"http://127.0.0.1:{port}/v1", "LLM_MODEL": "bad"}

    async def run(self, target: Target, answers: Answers) -> None:
        """A caller who keeps asking."""
        try:
            await keep_asking(target, answers)
        finally:
            answers["asked"] += self._requests

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._requests += 1
        await read_body(head, reader)
        writer.write(_STREAM)
        await pour(writer, self._events())


class BadTool:
    """A tool that a good language model uses, and whose answers have no end."""

    def __init__(self, pieces: Callable[[], Iterator[bytes]], pause_s: float = 0.0) -> None:
        self._pieces = pieces
        self._pause_s = pause_s
        self._requests = 0

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Mapping[str, str]]:
        """Serves tool and model, and gives the settings that lead to them."""
        self._requests = 0
        with tempfile.TemporaryDirectory() as folder:
            async with serving(self._answer) as port, serving(use_the_tool) as model_port:
                tools = Path(folder) / "tools.yaml"
                tool = {"name": "look", "description": "Looks.", "url": f"http://127.0.0.1:{port}/"}
                tools.write_text(json.dumps({"tools": [tool]}))
                url = f"http://127.0.0.1:{model_port}/v1"
                yield {"LLM_BASE_URL": url, "LLM_MODEL": "good", "LLM_TOOLS": str(tools)}

    async def run(self, target: Target, answers: Answers) -> None:
        """A caller who keeps asking for what needs the tool."""
        try:
            await keep_asking(target, answers)
        finally:
            answers["used"] += self._requests

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._requests += 1
        await read_body(head, reader)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {GIGABYTE}\r\n\r\n".encode())
        await pour(writer, self._pieces(), self._pause_s)


def partials() -> Iterator[bytes]:
    """Ever other words of what the caller says."""
    for number in itertools.count():
        yield _event({"type": _DELTA, "item_id": str(number // 100), "delta": f"word {number} "})


def transcripts() -> Iterator[bytes]:
    """Ever another thing that the caller is to have said."""
    for number in itertools.count():
        for event in utterance(f"I have said this {number} times.", str(number)):
            yield _event(event)


def long_messages() -> Iterator[bytes]:
    """Messages of 10 MB."""
    event = {"type": _COMPLETED, "item_id": "1", "transcript": "word " * 2_000_000}
    return itertools.repeat(_event(event))


def half_frames() -> Iterator[bytes]:
    """The beginning of a message, and ever more of its middle."""
    yield unmasked(BINARY, bytes(1_000), ends=False)
    yield from itertools.repeat(unmasked(0, bytes(1_000), ends=False))


def pings() -> Iterator[bytes]:
    """Each of them wants a pong."""
    return itertools.repeat(unmasked(PING, b""))


def comments() -> Iterator[bytes]:
    """What server-sent events may hold and no one reads."""
    return itertools.repeat(b":\n\n")


def empty_deltas() -> Iterator[bytes]:
    """Pieces of an answer without a letter."""
    return itertools.repeat(_chunk({"content": ""}))


def deltas() -> Iterator[bytes]:
    """An answer without an end."""
    return itertools.repeat(_chunk({"content": "word "}))


def arguments() -> Iterator[bytes]:
    """The arguments of a tool, a letter at a time."""
    part = {"index": 0, "id": "1", "function": {"name": "hangup", "arguments": "a"}}
    return itertools.repeat(_chunk({"tool_calls": [part]}))


def letters() -> Iterator[bytes]:
    """A gigabyte of text."""
    return itertools.repeat(b"a" * 1_000)


def a_letter_at_a_time() -> Iterator[bytes]:
    """A gigabyte that takes a year."""
    return itertools.repeat(b"a")


async def keep_asking(target: Target, answers: Answers) -> None:
    """A caller who says the same over and over."""
    async with call(target) as caller:
        for number in range(10_000):
            for event in utterance("What is it?", f"item_{number}"):
                await ask_json(target, answers, f"/v1/calls/{caller.id}/events", event)
            await asyncio.sleep(TURN_S)


async def use_the_tool(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A good language model, which calls the tool `look` before it answers."""
    body = json.loads(await read_body(head, reader))
    used = body["messages"][-1]["role"] == "tool"
    part = {"index": 0, "id": "1", "function": {"name": "look", "arguments": "{}"}}
    writer.write(_STREAM + _chunk({"content": "It is so."} if used else {"tool_calls": [part]}) + b"data: [DONE]\n\n")
    await writer.drain()


async def pour(writer: asyncio.StreamWriter, pieces: Iterable[bytes], pause_s: float = 0.0) -> None:
    """Sends without an end, many pieces at once if there is no pause between them."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        if pause_s or len(waiting) >= CHUNK_BYTES:
            await write(writer, bytes(waiting))
            waiting.clear()
            await asyncio.sleep(pause_s)


async def read_body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    """The body of a request whose head has been read."""
    lengths = (line.split()[1] for line in head.splitlines() if line.lower().startswith(b"content-length:"))
    return await reader.readexactly(int(next(lengths, b"0")))


@asynccontextmanager
async def serving(
    answer: Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Any],
) -> AsyncIterator[int]:
    """Serves on loopback, one request a connection."""

    answering: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(await reader.readuntil(b"\r\n\r\n"), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except RuntimeError:  # so uvloop says that the connection has been closed meanwhile
            if not writer.is_closing():
                raise
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(task := asyncio.create_task(serve(reader, writer)))
        task.add_done_callback(answering.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(answering):
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)


def _event(event: Mapping[str, Any]) -> bytes:
    return unmasked(TEXT, json.dumps(event).encode())


def _chunk(delta: Mapping[str, Any]) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "bad", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n".encode()
