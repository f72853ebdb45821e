"""The operation that tells a call who the caller is now, after a colleague has transferred somebody to it."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from bridge.calls_api.lookup import live_conversation
from bridge.calls_api.registering import read_announced
from bridge.calls_api.state import CallState, describe
from engine.web.operations import Operation


class CallerRequest(BaseModel):
    """Who the caller is."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    caller: str = Field(alias="from", max_length=200, description="the number; empty where it is not known")
    name: str = Field("", max_length=200, description="the caller's name")


async def change_caller(request: web.Request) -> web.Response:
    conversation = live_conversation(request)
    body = await read_announced(request, CallerRequest)
    if any(character.isdigit() for character in body.caller):
        conversation.caller_changed(body.caller, body.name)
    return web.json_response(describe(conversation).model_dump(mode="json", by_alias=True))


OPERATIONS: Final = [
    Operation(
        "POST",
        "/v1/calls/{id}/caller",
        change_caller,
        "Tell who the caller is now",
        {200: ("the call as it is now; a number without a digit changes nothing", (CallState,))},
        details="`{from}` and `{name}` are these from now on, and a model is told. Also as a form.",
        body=CallerRequest,
        errors=(400, 404, 409, 413, 415),
    ),
]
