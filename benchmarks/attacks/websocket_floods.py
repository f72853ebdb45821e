"""Messages over the speech WebSocket that ask for nothing, as fast as the server takes them."""

from __future__ import annotations

import json
from typing import Final

from benchmarks.attacks.target import Answers, Target
from benchmarks.attacks.wire import PING, TEXT, flood

PATH: Final = "/v1/audio/speech/ws"
LONG: Final = json.dumps({"input": "This is a long text that nobody hears. " * 100}).encode()


async def cancels(target: Target, answers: Answers) -> None:
    """Nothing is to be cancelled."""
    await flood(target, answers, PATH, TEXT, b'{"event":"cancel"}')


async def empty_deltas(target: Target, answers: Answers) -> None:
    """Pieces of a text that have no character."""
    await flood(target, answers, PATH, TEXT, b'{"input_delta":""}')


async def dropped_deltas(target: Target, answers: Answers) -> None:
    """Pieces of a text that has long been too long, behind speech that is not read."""
    piece = json.dumps({"input_delta": "word " * 12_000}).encode()
    await flood(target, answers, PATH, TEXT, piece, unread=LONG)


async def pings(target: Target, answers: Answers) -> None:
    """Each of them wants a pong."""
    await flood(target, answers, PATH, PING, b"")
