"""What comes over a WebSocket, of a client or of a service of ours, no faster than leaves the event loop to others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

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
PROTOCOL: Final = "talkspurt"
"""The subprotocol that is chosen where a client offers it, as a page must that brings its key in another one."""
READING: Final = "reading"
"""The transport's extra information that holds its `Reading`, if it has one."""
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


class Reading(Protocol):
    """What can stop that a connection is read.

    aiohttp would queue some thousand small messages of each: with a hundred connections, the garbage collector would
    hold the event loop for a tenth of a second to look at them.
    """

    def hold(self) -> None:
        """Reads no more."""

    def release(self) -> None:
        """Reads on."""


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
        self._held: Reading | None = None
        """Of a client that is held back: nothing is read until what has come is taken."""

    async def next(self, timeout_s: float | None = None) -> WSMessage | None:
        """Returns the next text or bytes; None once the connection is closed. Raises TimeoutError."""
        while (message := await self._receive(timeout_s)).type not in _ENDS:
            try:
                wait_s = self._budget.spend(len(message.data))
            except Flood:
                self._release()
                reason = f"more than {self._budget.messages_per_s} messages a second"
                await self._socket.close(code=WSCloseCode.POLICY_VIOLATION, message=reason.encode())
                return None
            share = loop_share()
            if wait_s or not share.has_time:
                self._hold()
            if wait_s:
                await asyncio.sleep(wait_s)
            await share.turn(self._urgency)  # however many sockets there are
            if message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is not WSMsgType.PONG:
                return message
        return None

    async def _receive(self, timeout_s: float | None) -> WSMessage:
        if self._held is None:
            return await self._socket.receive(timeout_s)
        receiving = asyncio.ensure_future(self._socket.receive(timeout_s))
        try:
            await asyncio.sleep(0)
            if not receiving.done():  # all that came is taken
                self._release()
            return await receiving
        finally:
            receiving.cancel()

    def _hold(self) -> None:
        if self._held is None:
            self._held = self._socket.get_extra_info(READING)
            if self._held is not None:
                self._held.hold()

    def _release(self) -> None:
        if self._held is not None:
            self._held.release()
            self._held = None


def create_socket(
    max_bytes: int, heartbeat_s: float | None = None, protocols: tuple[str, ...] = (PROTOCOL,)
) -> web.WebSocketResponse:
    """Returns a WebSocket for an `Inbox`, not yet prepared, which speaks one of `protocols` or none."""
    return web.WebSocketResponse(
        timeout=CLOSE_S,
        protocols=protocols,
        autoping=False,
        heartbeat=heartbeat_s,
        max_msg_size=max_bytes,
        compress=False,
    )
