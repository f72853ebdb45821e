"""The calls API on aiohttp: list, say, interrupt, hang up. The rest of it is in `bridge.conversation_api`."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bridge.call import Call, State
from bridge.calls import Calls
from bridge.conversation import HANG_UP, Conversation
from bridge.conversations import Conversations
from bridge.destinations import NotAllowed
from engine.api.bodies import read_json
from engine.api.errors import ApiError
from engine.api.operations import Operation, add_operations

CALLS: Final = web.AppKey("calls", Calls)
CONVERSATIONS: Final = web.AppKey("conversations", Conversations)
MAX_TEXT_CHARS: Final = 20_000
"""Said with one request: some twenty minutes of speech."""
PIECE_CHARS: Final = 256
"""Split into sentences at a time: in about 1 ms, for the event loop has other calls to serve."""


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("there is nothing to say")
    return text


class SayRequest(BaseModel):
    """What to say into a call."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, AfterValidator(_not_blank)] = Field(min_length=1, max_length=MAX_TEXT_CHARS)
    voice: str | None = Field(None, description="by default the setting VOICE")
    interruptible: bool = Field(True, description="whether the caller's speech may cut it")


class Said(BaseModel):
    """It was queued."""

    id: str = Field(description="of the utterance")
    object: Literal["utterance"] = "utterance"


class HangUpRequest(BaseModel):
    """How to end a call. An empty body will do."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field("", max_length=MAX_TEXT_CHARS, description="a goodbye, heard whole before the call ends")
    next: str = Field(HANG_UP, description="where the dialplan goes on, as TRANSFER_ALLOW allows; empty: its fallback")


class Interrupted(BaseModel):
    """What an interrupt did."""

    interrupted: bool = Field(description="false when nothing was playing")
    text: str | None = Field(None, description="what the caller heard of the utterance")
    audio_end_ms: int | None = Field(None, description="how much of its audio was heard")


class CallState(BaseModel):
    """A call, in progress or ended."""

    id: str
    state: State
    started_at: float = Field(description="Unix time")
    ended_at: float | None
    end_reason: str | None
    rate_hz: int = Field(description="sample rate that the caller is spoken to in")
    dtmf: str = Field(description="digits pressed so far")
    speaking: bool
    underrun_frames: int = Field(description="frames of silence inside speech that was not made in time")
    conversation: dict[str, Any] | None = Field(None, description="variables, transcript, and each turn's latencies")


class CallList(BaseModel):
    """The calls in progress."""

    object: Literal["list"] = "list"
    data: list[CallState]


def add_call_routes(app: web.Application, calls: Calls, conversations: Conversations) -> None:
    """Serve `/v1/calls…` from `calls` and what is said in them."""
    app[CALLS] = calls
    app[CONVERSATIONS] = conversations
    add_operations(app, OPERATIONS)


def describe(call: Call) -> CallState:
    """A call as the API shows it."""
    utterance = call.playout.current
    return CallState(
        id=str(call.id),
        state=call.state,
        started_at=call.started_at,
        ended_at=call.ended_at,
        end_reason=call.end_reason or None,
        rate_hz=call.playout.rate_hz,
        dtmf=call.dtmf,
        speaking=utterance is not None and utterance.started and not call.playout.paused,
        underrun_frames=call.playout.underrun_frames,
    )


def call_of(request: web.Request) -> Call:
    """The call that the path names, in progress or ended. Raises ApiError."""
    name = request.match_info["id"]
    try:
        call = request.app[CALLS].find(UUID(name))
    except ValueError:
        call = None
    if call is None:
        raise ApiError(404, "NOT_FOUND", f"no call {name!r}", param="id")
    return call


async def list_calls(request: web.Request) -> web.Response:
    calls = CallList(data=[describe(call) for call in request.app[CALLS].active()])
    return web.json_response(calls.model_dump(mode="json"))


async def get_call(request: web.Request) -> web.Response:
    call = call_of(request)
    state = describe(call)
    state.conversation = conversation_of(request).describe()
    return web.json_response(state.model_dump(mode="json"))


async def say(request: web.Request) -> web.Response:
    conversation = live_conversation(request)
    if request.content_type == "text/plain":
        return await _say_as_it_comes(request, conversation)
    body = await read_json(request, SayRequest)
    utterance = conversation.say(body.text, voice=body.voice, interruptible=body.interruptible)
    return web.json_response(Said(id=utterance.id).model_dump(), status=202)


async def interrupt(request: web.Request) -> web.Response:
    cut = conversation_of(request).interrupt()
    if not cut.interrupted:
        return web.json_response({"interrupted": False})
    answer = Interrupted(interrupted=True, text=cut.text, audio_end_ms=cut.audio_end_ms)
    return web.json_response(answer.model_dump())


async def hang_up(request: web.Request) -> web.Response:
    conversation = conversation_of(request)
    body = await read_json(request, HangUpRequest) if request.can_read_body else HangUpRequest.model_validate({})
    try:
        conversation.hang_up(body.text, body.next)
    except NotAllowed as error:
        raise ApiError(400, "INVALID_REQUEST", str(error), param="next") from None
    return web.json_response(describe(conversation.call).model_dump(mode="json"), status=202)


def conversation_of(request: web.Request) -> Conversation:
    """The conversation of the call that the path names. Raises ApiError."""
    conversation = request.app[CONVERSATIONS].find(call_of(request).id)
    assert conversation is not None, "every call has one from its answer on"
    return conversation


def live_conversation(request: web.Request) -> Conversation:
    """The same, of a call that is neither ending nor ended. Raises ApiError."""
    conversation = conversation_of(request)
    if conversation.call.state is not State.ACTIVE:
        raise ApiError(409, "CONFLICT", f"the call is {conversation.call.state.value}", param="id")
    return conversation


async def _say_as_it_comes(request: web.Request, conversation: Conversation) -> web.Response:
    """A body of plain text, spoken sentence by sentence while it arrives."""
    pieces: asyncio.Queue[str | None] = asyncio.Queue()
    interruptible = request.query.get("interruptible", "true").lower() != "false"
    utterance = conversation.say(_until_none(pieces), voice=request.query.get("voice"), interruptible=interruptible)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    characters, blank = 0, True
    try:
        async for data in request.content.iter_any():
            piece = decoder.decode(data)
            pieces.put_nowait(piece[: MAX_TEXT_CHARS - characters])
            characters += len(piece)
            blank = blank and not piece.strip()
            if characters > MAX_TEXT_CHARS:
                message = f"text has more than {MAX_TEXT_CHARS} characters; what comes after them is not spoken"
                raise ApiError(400, "INPUT_TOO_LONG", message, param="text", context={"limit": MAX_TEXT_CHARS})
    finally:  # a client that goes away has said what it has said
        pieces.put_nowait(None)
    if blank:
        raise ApiError(400, "INVALID_REQUEST", "text: there is nothing to say", param="text")
    return web.json_response(Said(id=utterance.id).model_dump(), status=202)


async def _until_none(queue: asyncio.Queue[str | None]) -> AsyncIterator[str]:
    while (piece := await queue.get()) is not None:
        for start in range(0, len(piece), PIECE_CHARS):
            yield piece[start : start + PIECE_CHARS]
            await asyncio.sleep(0)  # a queue that is not empty does not let others run


_ONE_CALL: Final = (404,)

OPERATIONS: Final = [
    Operation("GET", "/v1/calls", list_calls, "List the calls in progress", {200: ("oldest first", (CallList,))}),
    Operation(
        "GET",
        "/v1/calls/{id}",
        get_call,
        "Look a call up",
        {200: ("the call; one that ended is kept for a while", (CallState,))},
        errors=_ONE_CALL,
    ),
    Operation(
        "POST",
        "/v1/calls/{id}/say",
        say,
        "Speak into a call",
        {202: ("queued behind what was said before", (Said,))},
        body=SayRequest,
        details=(
            "With `Content-Type: text/plain` the body is the text itself and may arrive in pieces, as a language model "
            "writes it: sentences are spoken as they complete; `voice` and `interruptible` are query parameters then."
        ),
        errors=(400, 404, 409, 415),
    ),
    Operation(
        "POST",
        "/v1/calls/{id}/interrupt",
        interrupt,
        "Make a call fall silent",
        {200: ("silent within 20 ms; everything queued is dropped", (Interrupted,))},
        details="Idempotent. `text` is what the caller heard of the utterance that was playing.",
        errors=_ONE_CALL,
    ),
    Operation(
        "POST",
        "/v1/calls/{id}/hangup",
        hang_up,
        "End a call",
        {202: ("it ends once everything that was said has been heard; the dialplan goes on", (CallState,))},
        details="The body may be left out. With `text`, what is being said gives way to it.",
        body=HangUpRequest,
        errors=(400, 404, 415),
    ),
]
