"""HTTP and WebSocket by the byte, for requests that no client library would send."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

from benchmarks.attacks.target import KEY, Answers, Target

CLOSE_S: Final = 1.0
"""Who says that he closes the connection has this long for it, from the end of the body."""
CLOSE_UNSAID_S: Final = 0.02
"""Who does not say so and closes it is noticed within this."""
PATIENCE_S: Final = 1.0
"""What was not answered when the attack ended counts if it was asked before this."""
CHUNK_BYTES: Final = 2**16
TEXT: Final = 0x1
BINARY: Final = 0x2
PING: Final = 0x9


def head(
    target: Target,
    method: str,
    path: str,
    *,
    length: int = 0,
    key: bool = True,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Returns the head of a request, with the server's key if the attacker has it."""
    fields = {"Host": f"{target.host}:{target.http_port}", "Content-Length": str(length)}
    if key:
        fields["Authorization"] = f"Bearer {KEY}"
    fields |= headers or {}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


async def ask(target: Target, answers: Answers, request: bytes, body: Iterable[bytes] = (), who: str = "") -> None:
    """Send a request, its body to the end even if it is answered before, and count the answer.

    Who asks that the connection be closed reads all of the answer.
    """
    whole = b"Connection: close" in request
    status = ""
    closed = judged = False
    since_s = time.monotonic()
    try:
        async with connected(target.host, target.http_port) as (reader, writer):
            sending = asyncio.create_task(_send(writer, request, body))
            try:
                status, closes = await _status(reader)
                ending = asyncio.create_task(until_closed(reader))
                await asyncio.wait((sending, ending), return_when=asyncio.FIRST_COMPLETED)
                timeout_s = None if whole else CLOSE_S if closes else CLOSE_UNSAID_S
                closed = bool((await asyncio.wait((ending,), timeout=timeout_s))[0]) and not whole
                judged = True
                ending.cancel()
            finally:
                sending.cancel()
    finally:
        # An attack may end while it is still waited for the connection to be closed: that says nothing.
        if judged or (not status and time.monotonic() - since_s > PATIENCE_S):
            answers[who + (status or "no answer") + (" and closed" if closed and status.isdecimal() else "")] += 1


async def ask_json(
    target: Target, answers: Answers, path: str, body: Any, *, whole: bool = False, who: str = ""
) -> None:
    """Post JSON and count the answer; read all of it if `whole`."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Type": "application/json"} | ({"Connection": "close"} if whole else {})
    pieces = (data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES))
    await ask(target, answers, head(target, "POST", path, length=len(data), headers=fields), pieces, who)


async def flood(
    target: Target, answers: Answers, path: str, opcode: int, payload: bytes, *, first: bytes = b"", unread: bytes = b""
) -> None:
    """Open a WebSocket and send one message over and over, as fast as the server takes it, after the text `first`.

    With `unread`, a text message that goes first, nothing of what comes is read.
    """
    fields = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    frame = _frame(opcode, payload)
    frames = frame * max(1, CHUNK_BYTES // len(frame))
    async with connected(target.host, target.http_port) as (reader, writer):
        writer.write(head(target, "GET", path, headers=fields))
        status, _ = await _status(reader)
        answers[status] += 1
        if first or unread:
            writer.write(_frame(TEXT, first or unread))
        ending = asyncio.create_task(asyncio.Event().wait() if unread else until_closed(reader))
        try:
            while not ending.done():
                await write(writer, frames)
        except ConnectionError:
            pass
        finally:
            ending.cancel()
        answers["closed"] += 1


def unmasked(opcode: int, payload: bytes, *, ends: bool = True) -> bytes:
    """A frame of a WebSocket's server."""
    size = len(payload)
    if size < 126:
        length = bytes((size,))
    else:
        length = struct.pack(">BH", 126, size) if size < 2**16 else struct.pack(">BQ", 127, size)
    return bytes((0x80 * ends | opcode,)) + length + payload


def _frame(opcode: int, payload: bytes) -> bytes:
    """A whole WebSocket message, under a mask that changes nothing."""
    length = struct.pack(">BH", 0xFE, len(payload)) if len(payload) > 125 else bytes((0x80 | len(payload),))
    return bytes((0x80 | opcode,)) + length + bytes(4) + payload


@contextlib.asynccontextmanager
async def connected(host: str, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection, which is cut at the end of the block."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, request: bytes, body: Iterable[bytes]) -> None:
    with contextlib.suppress(ConnectionError):
        writer.write(request)
        for piece in body:
            await write(writer, piece)


async def _status(reader: asyncio.StreamReader) -> tuple[str, bool]:
    """Returns the status of an answer, or how the connection ended, and whether it says that it closes."""
    try:
        answer = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return "closed", True
    except ConnectionError:
        return "reset", True
    return answer.split()[1].decode(), b"connection: close" in answer.lower()


async def write(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write as fast as the other side reads, and let others run: an attack must end when its time is up."""
    writer.write(data)
    await writer.drain()
    await asyncio.sleep(0)


async def until_closed(reader: asyncio.StreamReader) -> None:
    """Read, and forget, all that comes until the other side ends the connection."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(CHUNK_BYTES):
            pass
