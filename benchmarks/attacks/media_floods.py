"""Calls over a WebSocket that do what no Asterisk does: messages as fast as the line takes them."""

from __future__ import annotations

from typing import Final
from uuid import uuid4

from benchmarks.attacks.target import Answers, Target
from benchmarks.attacks.wire import BINARY, TEXT, flood
from bridge.calls_api.media import PATH

START: Final = b'{"event":"MEDIA_START","format":"slin"}'


async def keys(target: Target, answers: Answers) -> None:
    """The same key, at line rate."""
    await _flood(target, answers, TEXT, b'{"event":"DTMF_END","digit":"1"}')


async def frames(target: Target, answers: Answers) -> None:
    """Frames without a sample, at line rate."""
    await _flood(target, answers, BINARY, b"")


async def _flood(target: Target, answers: Answers, opcode: int, payload: bytes) -> None:
    await flood(target, answers, f"{PATH}?id={uuid4()}", opcode, payload, first=START)
