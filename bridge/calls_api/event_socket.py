"""A conversation's events over a WebSocket: it takes a recogniser's events and sends what happens in the call."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any, Final

import structlog
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from pydantic import ValidationError

from bridge.calls_api.events import EventsRequest
from bridge.calls_api.lookup import MAX_BODY_BYTES, ONLY_FOLLOWS, live_conversation
from bridge.conversation.talk import Talk
from bridge.hearing.events import out
from bridge.journal.events import VERSION
from engine.web.errors import ApiError, from_validation_error, queue_full
from engine.web.inbox import Inbox, create_socket
from engine.web.operations import Operation

log = structlog.get_logger(__name__)

MAX_OBSERVERS: Final = 32
"""The number of WebSockets that may follow one call, for every event is sent to each of them."""
MAX_BEHIND: Final = 1_000
"""The number of events that an observer may be behind; a slower one is dropped."""
HEARTBEAT_S: Final = 20.0
NOT_TAKEN: Final = "no events are taken from the console: it follows the call"
_ENDED: Final = '{"type": "call.ended"'
"""How the last event begins."""
SOCKETS: Final = web.AppKey("event_sockets", set[web.WebSocketResponse])


async def serve_events(request: web.Request) -> web.StreamResponse:
    """Exchanges events until the call ends or the peer leaves."""
    conversation = live_conversation(request)
    journal = conversation.journal
    if journal.audience >= MAX_OBSERVERS:  # a supervisor asks by a plain request
        raise queue_full(f"{MAX_OBSERVERS} observe this call already")
    socket = create_socket(MAX_BODY_BYTES, HEARTBEAT_S)
    if not socket.can_prepare(request).ok:
        raise ApiError(426, "INVALID_REQUEST", "this is a WebSocket", headers={"Upgrade": "websocket"})
    follow = _Follower if request.query.get("journal") in ("1", "true") else _Observer
    observer = follow(conversation)  # made now, so that it misses nothing while the peer is answered
    sockets = request.app[SOCKETS]
    try:
        await socket.prepare(request)
        sockets.add(socket)
        observer.start(socket)
        inbox = Inbox(socket)
        while (message := await inbox.next()) is not None:
            if problem := NOT_TAKEN if request.get(ONLY_FOLLOWS) else _receive(conversation, message):
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


class _Peer(ABC):
    """The queue of what is still to be sent to one peer."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._sender: asyncio.Task[None] | None = None

    def start(self, socket: web.WebSocketResponse) -> None:
        """Sends from now on."""
        self._sender = asyncio.create_task(self._send(socket))

    def tell(self, event: dict[str, Any]) -> None:
        """Queues an event."""
        self.tell_line(json.dumps(event))

    def tell_line(self, line: str) -> None:
        """Queues an event as JSON; a peer that is too far behind is dropped."""
        if self._queue.qsize() < MAX_BEHIND:
            self._queue.put_nowait(line)
        elif self._sender is not None and not self._sender.cancelling():
            self._sender.cancel()

    async def leave(self) -> None:
        """Stops observing and sending."""
        self._forget()
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    @abstractmethod
    def _forget(self) -> None:
        """Takes itself off the journal."""

    async def _send(self, socket: web.WebSocketResponse) -> None:
        code = WSCloseCode.TRY_AGAIN_LATER
        try:
            async for line in self._lines():
                await socket.send_str(line)
                if line.startswith(_ENDED):
                    code = WSCloseCode.OK
                    return
        except ConnectionError:
            pass  # the peer is gone; the reader sees it
        except Exception:
            log.exception("events are sent no further")
        finally:
            await socket.close(code=code)

    async def _lines(self) -> AsyncIterator[str]:
        while True:
            yield await self._queue.get()


class _Observer(_Peer):
    """Is sent the events from now on."""

    def __init__(self, conversation: Talk) -> None:
        super().__init__()
        self._journal = conversation.journal
        about = {"at_ms": 0, "journal_version": VERSION, "variables": conversation.variables}
        self.tell(out("call.started", str(conversation.call.id), **about))
        self._journal.listeners.append(self.tell_line)

    def _forget(self) -> None:
        self._journal.listeners.remove(self.tell_line)


class _Follower(_Peer):
    """Is sent the whole journal: the lines so far, and those to come."""

    def __init__(self, conversation: Talk) -> None:
        super().__init__()
        self._journal = conversation.journal
        self._so_far = list(self._journal.lines)
        self._journal.followers.append(self.tell_line)

    def _forget(self) -> None:
        self._journal.followers.remove(self.tell_line)

    async def _lines(self) -> AsyncIterator[str]:
        for line in self._so_far:
            yield line
        async for line in super()._lines():
            yield line


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
            "what could not be read. With `?journal=1` you receive the call's whole journal from its first line on, "
            "the same lines that lie beside a recording: `docs/journal.md`."
        ),
        errors=(404, 409, 426, 503),
    )
]
