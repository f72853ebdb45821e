"""The operation that places a call: the agent calls somebody."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final
from uuid import UUID, uuid4

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from bridge.calls_api.lookup import CALLS, OUTBOUND, SERVICES, check_agent, check_room, read_body
from bridge.conversation.registration import MAX_VALUE_CHARS, MAX_VARIABLES, NAME
from bridge.outbound.numbers import NumberNotAllowed
from bridge.outbound.outbound_calls import TooManyPlaced
from engine.web.errors import ApiError, queue_full
from engine.web.operations import Operation

log = structlog.get_logger(__name__)

Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
Value = Annotated[str, StringConstraints(max_length=MAX_VALUE_CHARS)]
Variables = Annotated[
    dict[Name, Value],
    Field(max_length=MAX_VARIABLES - 4),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": f"^{NAME}$"},
            "maxProperties": MAX_VARIABLES - 4,
            "additionalProperties": {"type": "string", "maxLength": MAX_VALUE_CHARS},
        }
    ),
]


class OutboundRequest(BaseModel):
    """Whom to call, and what the agent is to know of the call."""

    model_config = ConfigDict(extra="forbid", strict=True)

    to: str = Field(min_length=1, max_length=41, description="the number, as OUTBOUND_ALLOW allows")
    variables: dict[Name, Value] = Field(
        default_factory=dict,
        max_length=MAX_VARIABLES - 4,
        description="fill `{name}` and the like in prompts and tools",
    )
    ring_s: int = Field(30, ge=5, le=300, description="how long it rings")
    retries: int = Field(0, ge=0, le=10, description="how often Asterisk tries again when nobody answers")
    retry_after_s: int = Field(300, ge=10, le=86_400, description="how long it waits before that")


class Placed(BaseModel):
    """Asterisk has been told to call."""

    id: UUID = Field(description="of the call, which /v1/calls/{id} knows once somebody has answered")
    to: str


async def place(request: web.Request) -> web.Response:
    body = await read_body(request, OutboundRequest)
    outbound = request.app[OUTBOUND]
    if outbound.spool is None:
        raise ApiError(404, "NOT_FOUND", "this server places no calls: OUTBOUND_SPOOL is not set")
    call_id = uuid4()
    check_room(request.app[CALLS], call_id)
    check_agent(request.app[SERVICES], body.variables)
    try:
        file = outbound.prepare(
            call_id, body.to, ring_s=body.ring_s, retries=body.retries, retry_after_s=body.retry_after_s
        )
        outbound.placed(file, {**body.variables, "to": body.to, "direction": "outbound"})
        await asyncio.to_thread(file.place, outbound.spool)
    except NumberNotAllowed as error:
        raise ApiError(400, "INVALID_REQUEST", str(error), param="to") from None
    except TooManyPlaced:
        raise queue_full("too many calls are on their way") from None
    except (OSError, ValueError) as error:
        outbound.forget(call_id)
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        log.error("no call could be placed", spool=str(outbound.spool), problem=reason)
        raise ApiError(500, "INTERNAL_ERROR", f"no call could be placed: {reason}") from None
    log.info("call placed", call=str(call_id))
    return web.json_response(Placed(id=call_id, to=body.to).model_dump(mode="json"), status=202)


OPERATIONS: Final = [
    Operation(
        "POST",
        "/v1/outbound-calls",
        place,
        "Place a call",
        {202: ("Asterisk dials; who answers talks with the agent", (Placed,))},
        details=(
            "Writes Asterisk a call file (OUTBOUND_SPOOL). Only numbers that OUTBOUND_ALLOW lists are dialled. Of a "
            "call that nobody answers, WEBHOOK_URL is told `call.unanswered`."
        ),
        body=OutboundRequest,
        errors=(400, 404, 413, 415, 500, 503),
    ),
]
