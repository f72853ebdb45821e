"""The calls API that the dialplan and recognisers use: registration, events by POST and WebSocket, where to go next."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Final
from uuid import UUID

from aiohttp import WSCloseCode, WSMsgType, web
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from bridge.control import CALLS, CONVERSATIONS, Interrupted, conversation_of, live_conversation
from bridge.conversation import Conversation
from bridge.events import BadEvent, InboundEvent, out, parse
from bridge.playout import Interruption
from engine.api.bodies import read_json
from engine.api.errors import ApiError, from_validation_error, queue_full
from engine.api.operations import Operation, add_operations

MAX_EVENTS: Final = 1_000
"""Events that an observer may be behind; a slower one is dropped."""
HEARTBEAT_S: Final = 20.0
SOCKETS: Final = web.AppKey("event_sockets", set[web.WebSocketResponse])


class RegisterRequest(BaseModel):
    """A call about to connect. Whatever else is given is a variable of the call."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    id: UUID = Field(description="the UUID that AudioSocket() will be given")
    caller: str = Field("", alias="from", description="the caller's number")
    called: str = Field("", alias="to", description="the number that was called")
    name: str = Field("", description="the caller's name")

    @model_validator(mode="before")
    @classmethod
    def _texts(cls, data: Any) -> Any:
        """Numbers in JSON are as good as texts."""
        if not isinstance(data, dict):
            return data
        plain = (int, float)
        return {k: str(v) if isinstance(v, plain) and not isinstance(v, bool) else v for k, v in data.items()}

    def variables(self) -> dict[str, str]:
        """All of it but the id. Raises ValueError for what is no text."""
        given = {"from": self.caller, "to": self.called, "name": self.name, **(self.model_extra or {})}
        for name, value in given.items():
            if not isinstance(value, str):
                raise ValueError(f"{name} must be text")
        return given


class Registered(BaseModel):
    """The call may connect."""

    id: UUID
    expires_in: float = Field(description="seconds until it has to have connected")


class EventsRequest(RootModel[InboundEvent | Annotated[list[InboundEvent], Field(max_length=100)]]):
    """One event or a list of them, as OpenAI's Realtime API names them."""


def add_conversation_routes(app: web.Application) -> None:
    """Serve what `add_call_routes` does not, on the same application, after it."""
    app[SOCKETS] = set()
    add_operations(app, OPERATIONS)
    app.router.add_get("/v1/calls/{id}/events", serve_events, allow_head=False)
    app.on_shutdown.append(_close_sockets)


async def register(request: web.Request) -> web.Response:
    if request.content_type == "application/x-www-form-urlencoded" or not request.headers.get("Content-Type"):
        try:
            body = RegisterRequest.model_validate({k: v for k, v in (await request.post()).items() if k})
        except ValidationError as error:
            raise from_validation_error(error) from None
    else:
        body = await read_json(request, RegisterRequest)
    calls = request.app[CALLS]
    if reason := calls.refusal():  # told before the call connects, so that the dialplan turns to another server at once
        raise queue_full(f"no calls are taken: {reason}")
    if calls.find(body.id) is not None:
        raise ApiError(409, "CONFLICT", f"a call {body.id} is or was in progress", param="id")
    registrations = request.app[CONVERSATIONS].registrations
    try:
        registrations.add(body.id, body.variables())
    except ValueError as error:
        raise ApiError(400, "INVALID_REQUEST", str(error)) from None
    answer = Registered(id=body.id, expires_in=registrations.ttl_s)
    return web.json_response(answer.model_dump(mode="json"), status=201)


async def next_destination(request: web.Request) -> web.Response:
    """Plain text for `CURL()`; empty where nothing is known, so that the dialplan goes to its own fallback."""
    try:
        conversation = conversation_of(request)
    except ApiError:
        return web.Response(status=404, text="")
    return web.Response(text=conversation.next_destination)


async def post_events(request: web.Request) -> web.Response:
    conversation = live_conversation(request)
    given = (await read_json(request, EventsRequest)).root
    last: Interruption | None = None
    for event in given if isinstance(given, list) else [given]:
        done = conversation.event(event)
        last = done if done.interrupted else last
    if last is None:
        return web.json_response({"interrupted": False}, status=202)
    answer = Interrupted(interrupted=True, text=last.text, audio_end_ms=last.audio_end_ms)
    return web.json_response(answer.model_dump(), status=202)


async def serve_events(request: web.Request) -> web.StreamResponse:
    """Both ways: a recogniser's events in, the conversation's out, until the call ends or the peer leaves."""
    conversation = live_conversation(request)
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=1 << 20, compress=False)
    if not socket.can_prepare(request).ok:
        raise ApiError(426, "INVALID_REQUEST", "this is a WebSocket", headers={"Upgrade": "websocket"})
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def observe(event: dict[str, Any]) -> None:
        events.put_nowait(event)
        if events.qsize() > MAX_EVENTS:
            conversation.journal.observers.remove(observe)
            sender.cancel()

    call_id = str(conversation.call.id)
    events.put_nowait(out("call.started", call_id, at_ms=0, variables=conversation.variables))
    await socket.prepare(request)
    request.app[SOCKETS].add(socket)
    conversation.journal.observers.append(observe)
    sender = asyncio.create_task(_send_events(socket, events))
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                problem = _receive(conversation, message.data)
                if problem:
                    events.put_nowait({"type": "error", "error": {"message": problem}})
    finally:
        request.app[SOCKETS].discard(socket)
        if observe in conversation.journal.observers:
            conversation.journal.observers.remove(observe)
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
    return socket


def _receive(conversation: Conversation, text: str) -> str:
    """Take a peer's events; returns what is wrong with them."""
    try:
        given = json.loads(text)
        for event in [parse(item) for item in (given if isinstance(given, list) else [given])]:
            conversation.event(event)
    except BadEvent as error:
        return str(error)
    except ValueError as error:
        return f"not JSON: {error}"
    return ""


async def _send_events(socket: web.WebSocketResponse, events: asyncio.Queue[dict[str, Any]]) -> None:
    code = WSCloseCode.TRY_AGAIN_LATER
    try:
        while True:
            event = await events.get()
            await socket.send_json(event)
            if event["type"] == "call.ended":
                code = WSCloseCode.OK
                return
    except ConnectionError:
        pass  # the peer is gone; the reader sees it
    finally:
        await socket.close(code=code)


async def _close_sockets(app: web.Application) -> None:
    goodbyes = [socket.close(code=WSCloseCode.GOING_AWAY) for socket in app[SOCKETS]]
    await asyncio.gather(*goodbyes)


OPERATIONS: Final = [
    Operation(
        "POST",
        "/v1/calls",
        register,
        "Announce a call",
        {201: ("it may connect, once", (Registered,))},
        details=(
            "What is known of a call before its AudioSocket connects: its variables fill `{from}`, `{name}` and the "
            "like in GREETING, SYSTEM_PROMPT, dialogues and tools. Also as a form, as `CURL()` posts it in a dialplan. "
            "Needed for every call where REQUIRE_REGISTRATION=true."
        ),
        body=RegisterRequest,
        errors=(400, 409, 415, 503),
    ),
    Operation(
        "GET",
        "/v1/calls/{id}/next",
        next_destination,
        "Ask where the dialplan goes on",
        {
            200: ("`context,extension,priority`, `hangup`, or nothing: the dialplan's own fallback", ("text",)),
            404: ("nothing is known of this call; the body is empty", ("text",)),
        },
    ),
    Operation(
        "POST",
        "/v1/calls/{id}/events",
        post_events,
        "Tell what a recogniser has heard",
        {202: ("what it did to the agent's speech", (Interrupted,))},
        details=(
            "The same events as over `WS /v1/calls/{id}/events`. Delivered twice they are acted on once; what is older "
            "than the utterance by its `audio_start_ms` (milliseconds since the answer) is ignored."
        ),
        body=EventsRequest,
        errors=(400, 404, 409, 415),
    ),
]
