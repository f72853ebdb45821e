"""A conversation's events over a WebSocket: it takes a recogniser's events and sends what happens in the call."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from pydantic import ValidationError

from bridge.calls_api.events import EventsRequest
from bridge.calls_api.lookup import MAX_BODY_BYTES, live_conversation
from bridge.conversation.talk import Talk
from bridge.hearing.events import out
from engine.web.errors import ApiError, from_validation_error, queue_full
from engine.web.inbox import Inbox, create_socket
from engine.web.operations import Operation

MAX_OBSERVERS: Final = 32
"""The number of WebSockets that may follow one call, for every event is sent to each of them."""
MAX_BEHIND: Final = 1_000
"""The number of events that an observer may be behind; a slower one is dropped."""
HEARTBEAT_S: Final = 20.0
SOCKETS: Final = web.AppKey("event_sockets", set[web.WebSocketResponse])


async def serve_events(request: web.Request) -> web.StreamResponse:
    """Exchanges events until the call ends or the peer leaves."""
    conversation = live_conversation(request)
    socket = create_socket(MAX_BODY_BYTES, HEARTBEAT_S)
    if not socket.can_prepare(request).ok:
        raise ApiError(426, "INVALID_REQUEST", "this is a WebSocket", headers={"Upgrade": "websocket"})
    if len(conversation.journal.observers) >= MAX_OBSERVERS:
        raise queue_full(f"{MAX_OBSERVERS} observe this call already")
    observer = _Observer(conversation)  # made now, so that it misses nothing while the peer is answered
    sockets = request.app[SOCKETS]
    try:
        await socket.prepare(request)
        sockets.add(socket)
        observer.start(socket)
        inbox = Inbox(socket)
        while (message := await inbox.next()) is not None:
            if problem := _receive(conversation, message):
                observer.tell({"type": "error", "error": {"message": problem}})
    finally:
        sockets.discard(socket)
        await observer.leave()
    return socket


async def close_sockets(app: web.Application) -> None:
    """Closes every WebSocket, because the server stops."""
    goodbyes = [socket.close(code=WSCloseCode.GOING_AWAY) for socket in app[SOCKETS]]
    await asyncio.gather(*goodbyes)


def _receive(conversation: Talk, message: WSMessage) -> str:
    """Takes a peer's events; returns what is wrong with them, or nothing."""
    if message.type is not WSMsgType.TEXT:
        return "events are JSON in text messages"
    try:
        EventsRequest.model_validate_json(message.data, strict=True).tell(conversation)
    except ValidationError as error:
        return from_validation_error(error).message
    return ""


class _Observer:
    """The queue of events that are still to be sent to one peer."""

    def __init__(self, conversation: Talk) -> None:
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._sender: asyncio.Task[None] | None = None
        self._observers = conversation.journal.observers
        self.tell(out("call.started", str(conversation.call.id), at_ms=0, variables=conversation.variables))
        self._observers.append(self.tell)

    def start(self, socket: web.WebSocketResponse) -> None:
        """Sends from now on."""
        self._sender = asyncio.create_task(self._send(socket))

    def tell(self, event: dict[str, Any]) -> None:
        """Queues an event; a peer that is too far behind is dropped."""
        if self._events.qsize() < MAX_BEHIND:
            self._events.put_nowait(event)
        elif self._sender is not None and not self._sender.cancelling():
            self._sender.cancel()

    async def leave(self) -> None:
        """Stops observing and sending."""
        self._observers.remove(self.tell)
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    async def _send(self, socket: web.WebSocketResponse) -> None:
        code = WSCloseCode.TRY_AGAIN_LATER
        try:
            while True:
                event = await self._events.get()
                await socket.send_json(event)
                if event["type"] == "call.ended":
                    code = WSCloseCode.OK
                    return
        except ConnectionError:
            pass  # the peer is gone; the reader sees it
        finally:
            await socket.close(code=code)


OPERATIONS: Final = [
    Operation(
        "GET",
        "/v1/calls/{id}/events",
        serve_events,
        "Follow a call, as a WebSocket",
        {101: ("events as JSON, both ways, until the call ends", ())},
        details=(
            "You send what `POST /v1/calls/{id}/events` takes. You receive `call.started`, `response.started`, "
            "`response.paused`, `response.resumed`, `response.interrupted`, `response.done`, `transcript.user`, "
            "`transcript.agent`, `hold.began`, `hold.ended`, `call.answered_by`, `dtmf`, `call.ended`, and `error` for "
            "what could not be read."
        ),
        errors=(404, 409, 426, 503),
    )
]
