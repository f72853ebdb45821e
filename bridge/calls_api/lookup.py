"""Finds the conversation and the body that a request means."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel

from bridge.conversation.calls import Calls
from bridge.conversation.talk import Talk
from bridge.line.call import State
from bridge.outbound.outbound_calls import OutboundCalls
from engine.web.bodies import read_json
from engine.web.errors import ApiError

CALLS: Final = web.AppKey("calls", Calls)
OUTBOUND: Final = web.AppKey("outbound", OutboundCalls)
LookUp = Callable[[UUID, Mapping[str, str]], Awaitable[dict[str, str]]]
LOOK_UP: Final = web.AppKey[LookUp]("look_up")
"""Returns what is known elsewhere of a call that is announced."""
MAX_BODY_BYTES: Final = 2**18
"""The largest body taken: any text that may be said fits into it as JSON, and reading it holds nobody up."""
ONE_CALL: Final = (404,)
"""The error statuses that every operation on a call may answer."""

Body = TypeVar("Body", bound=BaseModel)


def conversation_of(request: web.Request) -> Talk:
    """Returns the conversation of the call that the path names, in progress or ended. Raises ApiError."""
    name = request.match_info["id"]
    try:
        conversation = request.app[CALLS].find(UUID(name))
    except ValueError:
        conversation = None
    if conversation is None:
        raise ApiError(404, "NOT_FOUND", f"no call {name!r}", param="id")
    return conversation


def live_conversation(request: web.Request) -> Talk:
    """Returns the conversation of a call that is neither ending nor ended. Raises ApiError."""
    conversation = conversation_of(request)
    if conversation.call.state is not State.ACTIVE:
        raise not_now(conversation)
    return conversation


def not_now(conversation: Talk) -> ApiError:
    """Returns the error for a request that comes when the call is ending or has ended."""
    return ApiError(409, "CONFLICT", f"the call is {conversation.call.state.value}", param="id")


async def read_body(request: web.Request, model: type[Body]) -> Body:
    """Returns a JSON body as its model. Raises ApiError."""
    return await read_json(bounded(request), model)


def bounded(request: web.Request) -> web.Request:
    """Returns the request with its body limited to `MAX_BODY_BYTES`."""
    return request.clone(client_max_size=MAX_BODY_BYTES)
