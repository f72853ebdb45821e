"""What comes over a WebSocket, of a client or of a service of ours, no faster than leaves the event loop to others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from aiohttp import ClientWebSocketResponse, WSCloseCode, WSMessage, WSMsgType, web

from engine.loop_share import loop_share
from engine.speech import Priority

MESSAGES_PER_S: Final = 500
"""From a client."""
BURST_S: Final = 2.0
"""Whoever has been quiet may send what this time allows at once."""
UNIT_CHARS: Final = 1024
"""A message that is longer counts as several."""
FLOOD_S: Final = 10.0
"""Whoever is held back on end for as many messages as this time allows is a flood."""
CLOSE_S: Final = 2.0
"""How long a client is waited for when its WebSocket is closed; all that it sends meanwhile is read for nothing."""
_ENDS: Final = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)


class Flood(Exception):
    """The client has sent faster than it may for too long."""


class Budget:
    """How many messages one peer may send. Whoever sends more is held back, and in the end given up."""

    def __init__(self, messages_per_s: int = MESSAGES_PER_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.messages_per_s = messages_per_s
        self._most_held = round(FLOOD_S * messages_per_s)
        self._clock = clock
        self._used_until_s = clock() - BURST_S
        self._held = 0
        """The number of messages held back since the peer was last quiet."""

    def spend(self, characters: int = 0) -> float:
        """Takes a message and returns for how many seconds its peer is to be held back. Raises Flood."""
        now_s = self._clock()
        unused_s = now_s - self._used_until_s
        if unused_s > BURST_S / 2:
            self._held = 0
        cost_s = (1 + characters // UNIT_CHARS) / self.messages_per_s
        self._used_until_s = now_s - min(BURST_S, unused_s) + cost_s
        wait_s = max(0.0, self._used_until_s - now_s)
        self._held += wait_s > 0
        if self._held > self._most_held:
            raise Flood
        return wait_s


class Inbox:
    """The messages of a WebSocket that was made with `autoping=False`, one after the other. Pings are answered here."""

    def __init__(
        self,
        socket: web.WebSocketResponse | ClientWebSocketResponse,
        messages_per_s: int = MESSAGES_PER_S,
        urgency: int = Priority.HTTP,
    ) -> None:
        self._socket = socket
        self._urgency = urgency
        self._budget = Budget(messages_per_s)

    async def next(self, timeout_s: float | None = None) -> WSMessage | None:
        """Returns the next text or bytes; None once the connection is closed. Raises TimeoutError."""
        while (message := await self._socket.receive(timeout_s)).type not in _ENDS:
            try:
                wait_s = self._budget.spend(len(message.data))
            except Flood:
                reason = f"more than {self._budget.messages_per_s} messages a second"
                await self._socket.close(code=WSCloseCode.POLICY_VIOLATION, message=reason.encode())
                return None
            if wait_s:
                await asyncio.sleep(wait_s)
            await loop_share().turn(self._urgency)  # however many sockets there are
            if message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is not WSMsgType.PONG:
                return message
        return None


def create_socket(max_bytes: int, heartbeat_s: float | None = None) -> web.WebSocketResponse:
    """Returns a WebSocket for an `Inbox`, not yet prepared."""
    return web.WebSocketResponse(
        timeout=CLOSE_S, autoping=False, heartbeat=heartbeat_s, max_msg_size=max_bytes, compress=False
    )
