"""The peer of our server over a WebSocket, which connects as `Dial(WebSocket/…)` does."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import aiohttp

from bridge.line.audiosocket import Kind, Message
from bridge.line.websocket import PROTOCOL
from tests.support.fakes import Asterisk

DEADLINE_S = 30.0
RATES = {320: Kind.SLIN8, 640: Kind.SLIN16}


class WebSocketAsterisk(Asterisk):
    """What comes is given as over AudioSocket. It plays each frame as it is received, so marks are answered at once."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, call_id: UUID) -> None:
        self.socket = socket
        self.id = call_id
        self.commands: list[str] = []
        """What it was told to do, in order."""
        self.answers_marks = True

    @classmethod
    async def upgraded(
        cls, http: aiohttp.ClientSession, call_id: UUID | None = None, token: str | None = None
    ) -> WebSocketAsterisk:
        """A connection on which nothing was said yet."""
        call_id = call_id or uuid4()
        query = {"id": str(call_id)} | ({} if token is None else {"token": token})
        socket = await http.ws_connect("/v1/media", params=query, protocols=(PROTOCOL,), autoping=False)
        assert socket.protocol == PROTOCOL
        return cls(socket, call_id)

    @classmethod
    async def calling(
        cls, http: aiohttp.ClientSession, rate: str = "slin", call_id: UUID | None = None, token: str | None = None
    ) -> WebSocketAsterisk:
        """A call, which the server has been told of."""
        peer = await cls.upgraded(http, call_id, token)
        await peer.tell("MEDIA_START", format=rate, channel="WebSocket/x/0x1")
        return peer

    async def tell(self, event: str, **fields: Any) -> None:
        await self.socket.send_str(json.dumps({"event": event, **fields}))

    async def receive(self) -> Message | None:
        while True:
            message = await self.socket.receive(DEADLINE_S)
            if message.type is aiohttp.WSMsgType.BINARY:
                return Message(RATES[len(message.data)], message.data)
            if message.type is aiohttp.WSMsgType.PONG:
                return Message(0x10A, message.data)
            if message.type is not aiohttp.WSMsgType.TEXT:
                return None
            command = json.loads(message.data)
            self.commands.append(command["command"])
            if command["command"] == "HANGUP":
                await self.socket.close()
                return Message(Kind.HANGUP, b"")
            if command["command"] == "MARK_MEDIA" and self.answers_marks:
                await self.tell("MEDIA_MARK_PROCESSED", correlation_id=command["correlation_id"])

    async def close(self) -> None:
        await self.socket.close()
