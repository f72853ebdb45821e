"""The calls API on aiohttp: list, say, interrupt, hang up."""

from __future__ import annotations

import json
from typing import Any, Final
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bridge.call import Call, State
from bridge.calls import Calls
from engine.speech import UnknownVoice

CALLS: Final = web.AppKey("calls", Calls)


class SayRequest(BaseModel):
    """Body of `POST /v1/calls/{id}/say`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field(min_length=1, max_length=20_000)
    voice: str | None = None
    interruptible: bool = True


def add_call_routes(app: web.Application, calls: Calls) -> None:
    """Serve `/v1/calls…` from `calls`."""
    app[CALLS] = calls
    app.add_routes(
        [
            web.get("/v1/calls", list_calls),
            web.get("/v1/calls/{id}", get_call),
            web.post("/v1/calls/{id}/say", say),
            web.post("/v1/calls/{id}/interrupt", interrupt),
            web.post("/v1/calls/{id}/hangup", hang_up),
        ]
    )


def describe(call: Call) -> dict[str, Any]:
    """A call as the API shows it."""
    utterance = call.playout.current
    return {
        "id": str(call.id),
        "state": call.state.value,
        "started_at": call.started_at,
        "ended_at": call.ended_at,
        "end_reason": call.end_reason or None,
        "rate_hz": call.playout.rate_hz,
        "dtmf": call.dtmf,
        "speaking": utterance is not None and utterance.started and not call.playout.paused,
        "underrun_frames": call.playout.underrun_frames,
    }


async def list_calls(request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [describe(call) for call in request.app[CALLS].active()]})


async def get_call(request: web.Request) -> web.Response:
    return web.json_response(describe(_call(request)))


async def say(request: web.Request) -> web.Response:
    call = _live_call(request)
    body = await _body(request)
    try:
        utterance = call.say(body.text, voice=body.voice, interruptible=body.interruptible)
    except UnknownVoice as error:
        raise api_error(400, str(error), param="voice", code="unknown_voice") from None
    return web.json_response({"id": utterance.id, "object": "utterance"}, status=202)


async def interrupt(request: web.Request) -> web.Response:
    interruption = _call(request).interrupt()
    if not interruption.interrupted:
        return web.json_response({"interrupted": False})
    return web.json_response(
        {"interrupted": True, "text": interruption.text, "audio_end_ms": interruption.audio_end_ms}
    )


async def hang_up(request: web.Request) -> web.Response:
    call = _call(request)
    call.hang_up()
    return web.json_response({"id": str(call.id), "state": call.state.value}, status=202)


def api_error(status: int, message: str, *, param: str | None = None, code: str | None = None) -> web.HTTPException:
    """An HTTP error in OpenAI's shape, to be raised."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": param, "code": code}
    exceptions: dict[int, type[web.HTTPException]] = {
        400: web.HTTPBadRequest,
        404: web.HTTPNotFound,
        409: web.HTTPConflict,
    }
    return exceptions[status](text=json.dumps({"error": error}), content_type="application/json")


def _call(request: web.Request) -> Call:
    try:
        call = request.app[CALLS].find(UUID(request.match_info["id"]))
    except ValueError:
        call = None
    if call is None:
        raise api_error(404, f"no call {request.match_info['id']!r}", param="id", code="call_not_found")
    return call


def _live_call(request: web.Request) -> Call:
    call = _call(request)
    if call.state is not State.ACTIVE:
        raise api_error(409, f"the call is {call.state.value}", param="id", code=f"call_{call.state.value}")
    return call


async def _body(request: web.Request) -> SayRequest:
    try:
        return SayRequest.model_validate_json(await request.read())
    except ValidationError as error:
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"]) or None
        raise api_error(400, f"{param or 'body'}: {first['msg']}", param=param, code="invalid_body") from None
