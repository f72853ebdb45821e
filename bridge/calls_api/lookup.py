"""Finds the conversation and the body that a request means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel

from bridge.cluster.shared_calls import NotReached, SharedCalls
from bridge.conversation.agents.agents import UnknownAgent, language_code
from bridge.conversation.calls import Calls
from bridge.conversation.services import Services
from bridge.conversation.talk import Talk
from bridge.line.call import State
from bridge.line.connection import CallRefused
from bridge.outbound.outbound_calls import OutboundCalls
from engine.speech import UnknownVoice
from engine.web.bodies import read_json
from engine.web.errors import ApiError, queue_full

CALLS: Final = web.AppKey("calls", Calls)
OUTBOUND: Final = web.AppKey("outbound", OutboundCalls)
SERVICES: Final = web.AppKey("services", Services)
SHARED: Final = web.AppKey("shared", SharedCalls)
"""What several bridges know together; missing where there is one."""
ONLY_FOLLOWS: Final = web.RequestKey("only_follows", bool)
"""Set where whoever opens a call's WebSocket may follow the call, and may tell it nothing."""
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


def no_calls_taken(error: NotReached | CallRefused) -> ApiError:
    """Returns the error for a call for which there is no place, or of which the other bridges cannot be told."""
    return queue_full(f"no calls are taken: {error}")


def check_room(calls: Calls, call_id: UUID) -> None:
    """Raises ApiError where a new call would not be taken now."""
    try:
        calls.check_room(call_id)
    except CallRefused as refusal:
        raise no_calls_taken(refusal) from None


def check_agent(services: Services, variables: Mapping[str, str]) -> None:
    """Raises ApiError where the variables of a call name an agent, a voice or a language that there is not."""
    try:
        services.check(variables)
    except UnknownAgent as error:
        raise ApiError(400, "INVALID_REQUEST", str(error), param="agent") from None
    except UnknownVoice as error:
        raise ApiError(400, "INVALID_REQUEST", str(error), param="voice") from None
    if (language := variables.get("language")) and not language_code(language):
        raise ApiError(
            400, "INVALID_REQUEST", f"{language[:80]!r} is no language such as de or de-AT", param="language"
        )


async def read_body(request: web.Request, model: type[Body]) -> Body:
    """Returns a JSON body as its model. Raises ApiError."""
    return await read_json(bounded(request), model)


def bounded(request: web.Request) -> web.Request:
    """Returns the request with its body limited to `MAX_BODY_BYTES`."""
    return request.clone(client_max_size=MAX_BODY_BYTES)
