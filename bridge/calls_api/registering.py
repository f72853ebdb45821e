"""The operation that announces a call before it connects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl
from uuid import UUID

import structlog
from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from bridge.brains.line_states import LINE_STATES, place_of
from bridge.calls_api.call_token import check_token_is_of
from bridge.calls_api.lookup import (
    CALLS,
    OUTBOUND,
    SERVICES,
    SHARED,
    Body,
    bounded,
    check_agent,
    check_room,
    no_calls_taken,
    read_body,
)
from bridge.cluster.shared_calls import NotReached
from bridge.conversation.briefs import tell_of_outcome
from bridge.conversation.calls import Calls
from bridge.conversation.memory import BRIEF_OF, CONTINUES, CUT_OFF, TRANSFER, Memory
from bridge.conversation.registration import MAX_VALUE_CHARS, MAX_VARIABLES, NAME, TooManyRegistrations
from bridge.conversation.talk import Talk
from engine.web.bodies import in_time
from engine.web.errors import ApiError, from_validation_error, queue_full
from engine.web.operations import Operation

MAX_PLACES: Final = 20
"""Of how many places the states are asked, so that they fit into one variable."""

log = structlog.get_logger(__name__)


def _text(value: Any) -> Any:
    """Returns a JSON number as a text, for the two are equally good here."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Text = Annotated[
    str,
    BeforeValidator(_text),
    WithJsonSchema({"anyOf": [{"type": "string", "maxLength": MAX_VALUE_CHARS}, {"type": "number"}]}),
]


class RegisterRequest(BaseModel):
    """A call about to connect. Whatever else is given is a variable of the call."""

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
        json_schema_extra={"propertyNames": {"pattern": f"^{NAME}$"}, "maxProperties": MAX_VARIABLES - 2},
    )
    __pydantic_extra__: dict[str, Text]

    id: UUID = Field(description="the UUID that AudioSocket() will be given")
    caller: Text = Field("", alias="from", description="the caller's number")
    called: Text = Field("", alias="to", description="the number that was called")
    name: Text = Field("", description="the caller's name")

    agent: Text = Field("", description="who takes the call, by the name in the file of AGENTS; empty: as `to` says")
    language: Text = Field("", description="what the agent speaks, as de or de-AT, in place of its own")
    voice: Text = Field("", description="what the agent speaks with, in place of its own")

    continues: UUID | None = Field(None, description="an ended call of this server, which goes on with this one")
    brief_of: UUID | None = Field(None, description="a call about which this one tells a colleague, who may take it")

    def variables(self) -> dict[str, str]:
        """Returns the call's variables: everything but the id."""
        chosen = {"agent": self.agent, "language": self.language, "voice": self.voice}
        given = {name: value for name, value in chosen.items() if value}
        others = {CONTINUES: self.continues, BRIEF_OF: self.brief_of}
        given |= {name: str(call_id) for name, call_id in others.items() if call_id is not None}
        return {"from": self.caller, "to": self.called, "name": self.name, **given, **self.__pydantic_extra__}


class Registered(BaseModel):
    """The call may connect."""

    id: UUID
    expires_in: float = Field(description="seconds until it has to have connected")
    states_of: str | None = Field(
        None,
        description="where the agent may send the call, as |201@from-internal|; an announcement of id and line_states "
        "tells how each is",
    )


async def register(request: web.Request) -> web.Response:
    body = await read_announced(request, RegisterRequest)
    check_token_is_of(request, body.id)
    calls = request.app[CALLS]
    placed = request.app[OUTBOUND].variables(body.id)  # somebody has answered, also where the server is full by now
    _check(calls, body.id)
    variables = {**body.variables(), **placed}
    services = request.app[SERVICES]
    memory = None
    if (earlier := _earlier_call(calls, body)) is not None:
        variables = _of_earlier_call(earlier, body, variables)
    elif (memory := await _shared_memory(request, body)) is not None:
        variables = memory.continued(variables)
    if LINE_STATES in variables and (known := await _known(request, body.id)) is not None:
        return await _registered(request, body.id, {**known, LINE_STATES: variables[LINE_STATES]})
    check_agent(services, variables)
    goes_on = earlier is not None or memory is not None  # the earlier one was looked up itself
    if not goes_on and (found := await services.look_up(body.id, variables)):
        variables |= found
        _check(calls, body.id)  # others were announced meanwhile
    is_told = LINE_STATES in variables or body.brief_of is not None
    names = {} if is_told else services.choose(variables).destinations.names
    places = list(dict.fromkeys(map(place_of, names.values())))[:MAX_PLACES]
    states_of = "|".join(["", *places, ""]) if places else None
    return await _registered(request, body.id, variables, states_of)


async def _registered(
    request: web.Request, call_id: UUID, variables: dict[str, str], states_of: str | None = None
) -> web.Response:
    """Announces the call, to all bridges, and answers what the dialplan is to do. Raises ApiError."""
    calls, shared = request.app[CALLS], request.app.get(SHARED)
    try:
        announced = calls.registrations.add(call_id, variables, request.remote or "")
        if shared is not None:
            await shared.announce(call_id, announced.variables, calls.registrations.ttl_s)
    except ValueError as error:
        raise ApiError(400, "INVALID_REQUEST", str(error)) from None
    except NotReached as error:
        calls.registrations.claim(call_id)
        raise no_calls_taken(error) from None
    except TooManyRegistrations:
        raise queue_full("too many calls are announced and have not connected") from None
    answer = Registered(id=call_id, expires_in=calls.registrations.ttl_s, states_of=states_of)
    return web.json_response(answer.model_dump(mode="json", exclude_none=True), status=201)


def _earlier_call(calls: Calls, body: RegisterRequest) -> Talk | None:
    """Returns the call that this one continues or tells of, if any. Raises ApiError if there is nothing to tell of.

    A caller whose earlier call nobody knows any more is not turned away: the call begins anew.
    """
    if body.brief_of is not None:
        if (talk := calls.find(body.brief_of)) is None:
            raise ApiError(404, "NOT_FOUND", f"no call {body.brief_of}", param=BRIEF_OF)
        return talk
    if body.continues is None:
        return None
    return calls.find(body.continues)


async def _shared_memory(request: web.Request, body: RegisterRequest) -> Memory | None:
    """Returns what another bridge has left of the call that goes on, if there is one. Raises ApiError.

    A caller whose server was lost is turned away where nothing is known of the call: it must not begin anew.
    """
    if body.continues is None or body.brief_of is not None:
        return None
    memory = None
    try:
        if (shared := request.app.get(SHARED)) is not None:
            memory = await shared.memory(body.continues)
    except NotReached as error:
        raise no_calls_taken(error) from None
    if memory is None:
        log.warning("nothing is known of the call that goes on", call=str(body.id), continues=str(body.continues))
        if CUT_OFF in body.variables():
            raise ApiError(404, "NOT_FOUND", f"nothing is known of the call {body.continues}", param=CONTINUES)
    return memory


async def _known(request: web.Request, call_id: UUID) -> Mapping[str, str] | None:
    """Returns the variables that were announced before, to whichever bridge. Raises ApiError."""
    known = request.app[CALLS].registrations.variables(call_id)
    shared = request.app.get(SHARED)
    if known is not None or shared is None:
        return known
    try:
        return await shared.announced(call_id)
    except NotReached as error:
        raise no_calls_taken(error) from None


def _of_earlier_call(talk: Talk, body: RegisterRequest, variables: dict[str, str]) -> dict[str, str]:
    """Returns the variables of a call that continues, or tells of, an earlier one."""
    memory = talk.memory()
    if body.brief_of is not None:
        known = memory.continued({})
        return {name: known[name] for name in ("agent", "language") if name in known} | {BRIEF_OF: str(body.brief_of)}
    if TRANSFER in variables:
        tell_of_outcome(talk, memory.decision or variables[TRANSFER].casefold())
    return memory.continued(variables)


def _check(calls: Calls, call_id: UUID) -> None:
    """Raises ApiError where the call could not connect, so that the dialplan turns to another server at once."""
    if calls.find(call_id) is not None:
        raise ApiError(409, "CONFLICT", f"a call {call_id} is or was in progress", param="id")
    check_room(calls, call_id)


async def read_announced(request: web.Request, model: type[Body]) -> Body:
    """Returns a body in JSON, or the form that `CURL()` posts in a dialplan, as its model. Raises ApiError."""
    if request.content_type != "application/x-www-form-urlencoded" and request.headers.get("Content-Type"):
        return await read_body(request, model)
    async with in_time():
        data = await bounded(request).read()
    # A caller's name in another encoding must not cost the call.
    try:
        fields = parse_qsl(data.decode(errors="replace"), keep_blank_values=True, max_num_fields=MAX_VARIABLES)
    except ValueError:
        raise ApiError(400, "INVALID_REQUEST", f"the form has more than {MAX_VARIABLES} fields") from None
    try:
        return model.model_validate({name: value for name, value in fields if name})
    except ValidationError as error:
        raise from_validation_error(error) from None


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
        errors=(400, 404, 409, 413, 415, 503),
    ),
]
