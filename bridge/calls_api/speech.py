"""The operations that speak into a call and silence it."""

from __future__ import annotations

import asyncio
import codecs
from typing import Annotated, Final, Literal

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bridge.calls_api.lookup import ONE_CALL, conversation_of, live_conversation, read_body
from bridge.conversation.talk import Talk
from bridge.line.playout import Interruption
from engine.growing_text import GrowingText
from engine.web.errors import ApiError, queue_full
from engine.web.operations import Operation

MAX_TEXT_CHARS: Final = 20_000
"""The longest text of one request: some twenty minutes of speech."""
MAX_QUEUED: Final = 100
"""The number of texts that may wait in one call, so that no client fills the memory."""
PIECE_TIMEOUT_S: Final = 30.0
"""How long a client may write nothing before it counts as gone. What it has written has been said by then."""
CHARSETS: Final = frozenset({"utf-8", "us-ascii", "ascii"})


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


class Interrupted(BaseModel):
    """What became of the agent's speech."""

    interrupted: bool = Field(description="false when nothing was playing")
    text: str | None = Field(None, description="what the caller heard of the utterance")
    audio_end_ms: int | None = Field(None, description="how much of its audio was heard")

    @classmethod
    def of(cls, interruption: Interruption) -> Interrupted:
        """Returns an interruption as the API shows it."""
        if not interruption.interrupted:
            return cls(interrupted=False)
        return cls(interrupted=True, text=interruption.text, audio_end_ms=interruption.audio_end_ms)

    def response(self, status: int = 200) -> web.Response:
        """Returns the answer, without the fields that are not known."""
        return web.json_response(self.model_dump(exclude_none=True), status=status)


async def say(request: web.Request) -> web.Response:
    conversation = live_conversation(request)
    if conversation.call.queued >= MAX_QUEUED:
        raise queue_full(f"{MAX_QUEUED} texts wait to be spoken in this call")
    if request.content_type == "text/plain":
        return await _say_as_it_comes(request, conversation)
    body = await read_body(request, SayRequest)
    utterance = conversation.say(body.text, voice=body.voice, interruptible=body.interruptible)
    return web.json_response(Said(id=utterance.id).model_dump(), status=202)


async def interrupt(request: web.Request) -> web.Response:
    return Interrupted.of(conversation_of(request).interrupt()).response()


async def _say_as_it_comes(request: web.Request, conversation: Talk) -> web.Response:
    """Speaks a body of plain text sentence by sentence while it arrives."""
    if (charset := (request.charset or "utf-8").lower()) not in CHARSETS:
        raise ApiError(415, "INVALID_REQUEST", f"the text is in {charset}; send it in utf-8")
    text = GrowingText()
    utterance = conversation.say(text, voice=request.query.get("voice"), interruptible=_interruptible(request))
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    characters, blank = 0, True
    clock = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(PIECE_TIMEOUT_S) as limit:
            async for data in request.content.iter_any():
                limit.reschedule(clock() + PIECE_TIMEOUT_S)
                if utterance.interrupted:
                    raise ApiError(409, "CONFLICT", "it has been interrupted; the rest is not spoken", param="text")
                piece = decoder.decode(data)
                text.write(piece[: MAX_TEXT_CHARS - characters])
                characters += len(piece)
                blank = blank and not piece.strip()
                if characters > MAX_TEXT_CHARS:
                    message = f"text has more than {MAX_TEXT_CHARS} characters; what comes after them is not spoken"
                    raise ApiError(400, "INPUT_TOO_LONG", message, param="text", context={"limit": MAX_TEXT_CHARS})
    except TimeoutError:
        message = f"nothing more came for {PIECE_TIMEOUT_S:g} s; what came before is spoken"
        raise ApiError(408, "INVALID_REQUEST", message, param="text", context={"limit_s": PIECE_TIMEOUT_S}) from None
    finally:  # a client that goes away has said what it has said
        text.end()
    if blank:
        raise ApiError(400, "INVALID_REQUEST", "text: there is nothing to say", param="text")
    return web.json_response(Said(id=utterance.id).model_dump(), status=202)


def _interruptible(request: web.Request) -> bool:
    match request.query.get("interruptible", "true").lower():
        case "true" | "1":
            return True
        case "false" | "0":
            return False
        case given:
            message = f"interruptible: {given!r} is neither true nor false"
            raise ApiError(400, "INVALID_REQUEST", message, param="interruptible")


OPERATIONS: Final = [
    Operation(
        "POST",
        "/v1/calls/{id}/say",
        say,
        "Speak into a call",
        {202: ("queued behind what was said before", (Said,))},
        body=SayRequest,
        details=(
            "With `Content-Type: text/plain` the body is the text itself, in UTF-8, and may arrive in pieces, as a "
            "language model writes it: sentences are spoken as they complete; `voice` and `interruptible` are query "
            f"parameters then. Where no piece comes for {PIECE_TIMEOUT_S:g} seconds the text ends, with a 408; when it "
            "is interrupted, with a 409."
        ),
        errors=(400, 404, 408, 409, 413, 415, 503),
    ),
    Operation(
        "POST",
        "/v1/calls/{id}/interrupt",
        interrupt,
        "Make a call fall silent",
        {200: ("silent within 20 ms; everything queued is dropped", (Interrupted,))},
        details="Idempotent. `text` is what the caller heard of the utterance that was playing.",
        errors=ONE_CALL,
    ),
]
