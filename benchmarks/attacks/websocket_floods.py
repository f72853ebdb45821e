"""Messages over the speech WebSocket that ask for nothing, as fast as the server takes them."""

from __future__ import annotations

from typing import Final

from benchmarks.attacks.target import Answers, Target
from benchmarks.attacks.wire import flood

PATH: Final = "/v1/audio/speech/ws"
_TEXT: Final = 0x1
_PING: Final = 0x9


async def cancels(target: Target, answers: Answers) -> None:
    """Nothing is to be cancelled."""
    await flood(target, answers, PATH, _TEXT, b'{"event":"cancel"}')


async def empty_deltas(target: Target, answers: Answers) -> None:
    """Pieces of a text that have no character."""
    await flood(target, answers, PATH, _TEXT, b'{"input_delta":""}')


async def dropped_deltas(target: Target, answers: Answers) -> None:
    """Pieces of a text that has long been too long."""
    await flood(target, answers, PATH, _TEXT, b'{"input_delta":"' + b"word " * 12_000 + b'"}')


async def pings(target: Target, answers: Answers) -> None:
    """Each of them wants a pong."""
    await flood(target, answers, PATH, _PING, b"")
