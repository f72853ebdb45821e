"""The operation that announces a call before it connects."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import parse_qsl
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from bridge.calls_api.call_token import check_token_is_of
from bridge.calls_api.lookup import CALLS, OUTBOUND, SERVICES, bounded, check_agent, read_body
from bridge.conversation.calls import Calls
from bridge.conversation.registration import MAX_VALUE_CHARS, MAX_VARIABLES, NAME, TooManyRegistrations
from engine.web.bodies import in_time
from engine.web.errors import ApiError, from_validation_error, queue_full
from engine.web.operations import Operation


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

    def variables(self) -> dict[str, str]:
        """Returns the call's variables: everything but the id."""
        chosen = {"agent": self.agent, "language": self.language, "voice": self.voice}
        given = {name: value for name, value in chosen.items() if value}
        return {"from": self.caller, "to": self.called, "name": self.name, **given, **self.__pydantic_extra__}


class Registered(BaseModel):
    """The call may connect."""

    id: UUID
    expires_in: float = Field(description="seconds until it has to have connected")


async def register(request: web.Request) -> web.Response:
    body = await _read(request)
    check_token_is_of(request, body.id)
    calls = request.app[CALLS]
    _check(calls, body.id)
    variables = {**body.variables(), **request.app[OUTBOUND].variables(body.id)}
    services = request.app[SERVICES]
    check_agent(services, variables)
    if found := await services.look_up(body.id, variables):
        variables |= found
        _check(calls, body.id)  # others were announced meanwhile
    try:
        calls.registrations.add(body.id, variables, request.remote or "")
    except ValueError as error:
        raise ApiError(400, "INVALID_REQUEST", str(error)) from None
    except TooManyRegistrations:
        raise queue_full("too many calls are announced and have not connected") from None
    answer = Registered(id=body.id, expires_in=calls.registrations.ttl_s)
    return web.json_response(answer.model_dump(mode="json"), status=201)


def _check(calls: Calls, call_id: UUID) -> None:
    """Raises ApiError where the call could not connect, so that the dialplan turns to another server at once."""
    if calls.find(call_id) is not None:
        raise ApiError(409, "CONFLICT", f"a call {call_id} is or was in progress", param="id")
    if reason := calls.refusal(call_id):
        raise queue_full(f"no calls are taken: {reason}")


async def _read(request: web.Request) -> RegisterRequest:
    if request.content_type != "application/x-www-form-urlencoded" and request.headers.get("Content-Type"):
        return await read_body(request, RegisterRequest)
    async with in_time():
        data = await bounded(request).read()
    # A caller's name in another encoding must not cost the call.
    try:
        fields = parse_qsl(data.decode(errors="replace"), keep_blank_values=True, max_num_fields=MAX_VARIABLES)
    except ValueError:
        raise ApiError(400, "INVALID_REQUEST", f"the form has more than {MAX_VARIABLES} fields") from None
    try:
        return RegisterRequest.model_validate({name: value for name, value in fields if name})
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
        errors=(400, 409, 413, 415, 503),
    ),
]
