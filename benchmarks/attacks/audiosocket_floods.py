"""Calls that do what no Asterisk does: messages as fast as the line takes them, and the UUID of another call."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final
from uuid import UUID, uuid4

from benchmarks.attacks.target import Answers, Target
from benchmarks.attacks.wire import CHUNK_BYTES, connected, until_closed, write
from bridge.line.audiosocket import Decoder, Kind, encode

TAKEN_S: Final = 1.0
"""A call that has been heard for so long is taken."""


async def digits(target: Target, answers: Answers) -> None:
    """The same key, at line rate."""
    await _flood(target, answers, encode(Kind.DTMF, b"1"))


async def empty_frames(target: Target, answers: Answers) -> None:
    """Frames without a sample, at line rate."""
    await _flood(target, answers, encode(Kind.SLIN8))


async def fast_audio(target: Target, answers: Answers) -> None:
    """Frames of 20 ms, thousands of times as fast as they play."""
    await _flood(target, answers, encode(Kind.SLIN8, bytes(320)))


async def used_uuid(target: Target, answers: Answers) -> None:
    """The UUID of a call that has ended."""
    call_id = uuid4()
    for who in ("first call", "second call"):
        taken = await _is_taken(target, call_id)
        answers[f"{who} {'taken' if taken else 'refused'}"] += 1


async def _is_taken(target: Target, call_id: UUID) -> bool:
    async with connected(target.host, target.port) as (reader, writer):
        writer.write(encode(Kind.UUID, call_id.bytes))
        decoder = Decoder()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TAKEN_S):
                while data := await reader.read(CHUNK_BYTES):
                    if any(message.kind == Kind.HANGUP for message in decoder.feed(data)):
                        return False
                return False
        return True


async def _flood(target: Target, answers: Answers, message: bytes) -> None:
    messages = message * (CHUNK_BYTES // len(message))
    outcome = "still open"
    async with connected(target.host, target.port) as (reader, writer):
        writer.write(encode(Kind.UUID, uuid4().bytes))
        ending = asyncio.create_task(until_closed(reader))
        try:
            while not ending.done():
                await write(writer, messages)
            outcome = "closed"
        except ConnectionError:
            outcome = "reset"
        finally:
            ending.cancel()
            answers[outcome] += 1
