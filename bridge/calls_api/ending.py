"""The operations that end a call and tell the dialplan where to go on."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from bridge.brains.destinations import NotAllowed
from bridge.calls_api.call_token import new_calls
from bridge.calls_api.lookup import SHARED, conversation_of, not_now, read_body
from bridge.calls_api.speech import MAX_TEXT_CHARS
from bridge.calls_api.state import CallState, describe
from bridge.cluster.next_place import next_place
from bridge.conversation.briefs import topic
from bridge.conversation.next_destination import HANG_UP, WARM
from engine.web.errors import ApiError
from engine.web.operations import Operation

UNKNOWN: Final = "not-found"
"""What a dialplan is told of a call that is not known here. It is no place in any dialplan."""


class HangUpRequest(BaseModel):
    """How to end a call. An empty body will do."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field("", max_length=MAX_TEXT_CHARS, description="a goodbye, heard whole before the call ends")
    next: str = Field(HANG_UP, description="where the dialplan goes on, as TRANSFER_ALLOW allows; empty: its fallback")


async def hang_up(request: web.Request) -> web.Response:
    conversation = conversation_of(request)
    body = await read_body(request, HangUpRequest) if request.can_read_body else HangUpRequest.model_validate({})
    try:
        taken = conversation.hang_up(body.text, body.next)
    except NotAllowed as error:
        raise ApiError(400, "INVALID_REQUEST", str(error), param="next") from None
    if not taken and body != HangUpRequest.model_validate({}):
        raise not_now(conversation)
    return web.json_response(describe(conversation).model_dump(mode="json", by_alias=True), status=202)


async def next_destination(request: web.Request) -> web.Response:
    """Answers `CURL()`, which tells a dialplan no status, with plain text."""
    try:
        conversation = conversation_of(request)
    except ApiError:
        return web.Response(status=404, text=UNKNOWN)
    text = next_place(conversation) if SHARED in request.app else str(conversation.next)
    if text.endswith(f",{WARM}"):
        # The dialplan cannot make these itself: in a call that has dialled a WebSocket, Asterisk reads no secret.
        text = ",".join([text, *new_calls(request.app, 2)])
    return web.Response(text=text)


async def topic_of_transfer(request: web.Request) -> web.Response:
    try:
        return web.Response(text=topic(conversation_of(request)))
    except ApiError:
        return web.Response(status=404, text="")  # a telephone shows whatever stands here


OPERATIONS: Final = [
    Operation(
        "POST",
        "/v1/calls/{id}/hangup",
        hang_up,
        "End a call",
        {202: ("it ends once everything that was said has been heard; the dialplan goes on", (CallState,))},
        details=(
            "The body may be left out. With `text`, what is being said gives way to it. Idempotent; but a `text` or "
            "`next` that comes when the call is ending already is too late, and refused."
        ),
        body=HangUpRequest,
        body_required=False,
        errors=(400, 404, 409, 413, 415),
    ),
    Operation(
        "GET",
        "/v1/calls/{id}/next",
        next_destination,
        "Ask where the dialplan goes on",
        {
            200: (
                "`context,extension,priority`, with `,warm` behind it where somebody is told of the call first, "
                "and id and token of the call that tells, and of the one that goes on after it; "
                "`hangup`; or nothing: the dialplan's own fallback. After a brief `taken`, `declined` or `undecided`",
                ("text",),
            ),
            404: (f"nothing is known of this call: `{UNKNOWN}`", ("text",)),
        },
    ),
    Operation(
        "GET",
        "/v1/calls/{id}/topic",
        topic_of_transfer,
        "Ask what a telephone is to show of a warm transfer",
        {
            200: ("a few words in ASCII, for CALLERID(name), or nothing", ("text",)),
            404: ("nothing is known of this call: an empty text", ("text",)),
        },
    ),
]
