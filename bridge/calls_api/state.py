"""The operations that list the calls and look one up."""

from __future__ import annotations

from typing import Any, Final, Literal

from aiohttp import web
from pydantic import BaseModel, Field

from bridge.calls_api.lookup import CALLS, ONE_CALL, conversation_of
from bridge.conversation.talk import Talk
from bridge.line.call import State
from engine.web.operations import Operation


class CallState(BaseModel):
    """A call, in progress or ended."""

    id: str
    state: State
    agent_name: str = Field(description="the agent that has the call now; `default` where there is one alone")
    started_at: float = Field(description="Unix time")
    ended_at: float | None
    end_reason: str | None
    rate_hz: int = Field(description="sample rate that the caller is spoken to in")
    dtmf: str = Field(description="digits pressed so far, the latest 1,000 at most")
    speaking: bool
    underrun_frames: int = Field(description="frames of silence inside speech that was not made in time")
    conversation: dict[str, Any] | None = Field(None, description="variables, transcript, and each turn's latencies")


class CallList(BaseModel):
    """The calls in progress."""

    object: Literal["list"] = "list"
    data: list[CallState]


def describe(conversation: Talk) -> CallState:
    """Returns a call as the API shows it."""
    call = conversation.call
    return CallState(
        id=str(call.id),
        agent_name=conversation.agent_name,
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
    calls = CallList(data=[describe(conversation) for conversation in request.app[CALLS].active()])
    return web.json_response(calls.model_dump(mode="json"))


async def get_call(request: web.Request) -> web.Response:
    conversation = conversation_of(request)
    state = describe(conversation)
    state.conversation = conversation.describe()
    return web.json_response(state.model_dump(mode="json"))


OPERATIONS: Final = [
    Operation("GET", "/v1/calls", list_calls, "List the calls in progress", {200: ("oldest first", (CallList,))}),
    Operation(
        "GET",
        "/v1/calls/{id}",
        get_call,
        "Look a call up",
        {200: ("the call; one that ended is kept for a while", (CallState,))},
        errors=ONE_CALL,
    ),
]
