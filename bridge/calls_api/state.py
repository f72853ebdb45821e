"""The operations that list the calls, look one up, and read its journal."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from bridge.calls_api.lookup import CALLS, ONE_CALL, conversation_of
from bridge.conversation.calls import ENDED_KEPT
from bridge.conversation.talk import Talk
from bridge.line.call import State
from engine.web.errors import ApiError
from engine.web.operations import Operation

SLICE: Final = 20
"""How many calls are described before others have their turn."""


class CallState(BaseModel):
    """A call, in progress or ended."""

    model_config = ConfigDict(populate_by_name=True)

    id: str
    state: State
    agent_name: str = Field(description="the agent that has the call now; `default` where there is one alone")
    from_: str | None = Field(None, alias="from", description="the caller's number, where it is known")
    to: str | None = Field(None, description="the number that was called, where it is known")
    started_at: float = Field(description="Unix time")
    ended_at: float | None
    end_reason: str | None
    rate_hz: int = Field(description="sample rate that the caller is spoken to in")
    dtmf: str = Field(description="digits pressed so far, the latest 1,000 at most")
    speaking: bool
    underrun_frames: int = Field(description="frames of silence inside speech that was not made in time")
    conversation: dict[str, Any] | None = Field(None, description="variables, transcript, and each turn's latencies")


class CallList(BaseModel):
    """The calls in progress, and with `?ended=1` those that ended lately."""

    object: Literal["list"] = "list"
    data: list[CallState]


def describe(conversation: Talk) -> CallState:
    """Returns a call as the API shows it."""
    call = conversation.call
    return CallState(
        id=str(call.id),
        agent_name=conversation.agent_name,
        from_=conversation.variables.get("from"),
        to=conversation.variables.get("to"),
        state=call.state,
        started_at=call.started_at,
        ended_at=call.ended_at,
        end_reason=call.end_reason or None,
        rate_hz=call.playout.rate_hz,
        dtmf=call.dtmf,
        speaking=call.playout.speaking,
        underrun_frames=call.playout.underrun_frames,
    )


async def list_calls(request: web.Request) -> web.Response:
    """Lists calls, a slice at a time: 500 at once would hold up the clock of all of them."""
    calls, max_ended = request.app[CALLS], ended_wanted(request)
    conversations = [*(calls.ended()[-max_ended:] if max_ended else ()), *calls.active()]
    described = []
    for count, conversation in enumerate(conversations, 1):
        described.append(json.dumps(_told(conversation, describe(conversation))))
        if count % SLICE == 0:
            await asyncio.sleep(0)
    return web.Response(text=f'{{"object": "list", "data": [{", ".join(described)}]}}', content_type="application/json")


def ended_wanted(request: web.Request) -> int:
    """Returns how many of the calls that ended lately a list is to have at most. Raises ApiError."""
    if request.query.get("ended") not in ("1", "true"):
        return 0
    given = request.query.get("limit", str(ENDED_KEPT))
    if not (given.isascii() and given.isdecimal() and len(given) <= 9 and 1 <= int(given) <= ENDED_KEPT):
        message = f"limit: {given[:80]!r} must be a whole number from 1 to {ENDED_KEPT:,}"
        raise ApiError(400, "INVALID_REQUEST", message, param="limit", context={"limit": ENDED_KEPT})
    return int(given)


async def get_call(request: web.Request) -> web.Response:
    conversation = conversation_of(request)
    state = describe(conversation)
    state.conversation = conversation.describe()
    return web.json_response(_told(conversation, state))


def _told(conversation: Talk, state: CallState) -> dict[str, Any]:
    """Returns the state of a call as JSON: of one that has ended, as it is kept."""
    told = state.model_dump(mode="json", by_alias=True)
    return conversation.privacy.kept(told) if conversation.call.state is State.ENDED else told


async def get_journal(request: web.Request) -> web.Response:
    lines = conversation_of(request).journal.lines
    return web.Response(text="".join(f"{line}\n" for line in lines))


OPERATIONS: Final = [
    Operation(
        "GET",
        "/v1/calls",
        list_calls,
        "List the calls in progress",
        {200: ("oldest first", (CallList,))},
        details=(
            "With `?ended=1` those that ended lately come before them, "
            f"the latest {ENDED_KEPT:,} or, with `&limit=100`, the latest 100."
        ),
        errors=(400,),
    ),
    Operation(
        "GET",
        "/v1/calls/{id}",
        get_call,
        "Look a call up",
        {200: ("the call; one that ended is kept for a while", (CallState,))},
        errors=ONE_CALL,
    ),
    Operation(
        "GET",
        "/v1/calls/{id}/journal",
        get_journal,
        "Read a call's journal",
        {200: ("a line of JSON for each event so far; empty for one that ended too long ago", ("text",))},
        details="The lines are those that lie beside a recording; `talkspurt call` reads them.",
        errors=ONE_CALL,
    ),
]
