"""The error body that both families of clients read: OpenAI's and those of the earlier Qwen3-TTS server."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, Field, ValidationError

from engine.speech import CannotClone, EngineBusy, EngineNotReady, SpeechError, UnknownVoice, UnspeakableText

log = structlog.get_logger(__name__)

Code = Literal[
    "EMPTY_INPUT",
    "UNKNOWN_VOICE",
    "QUEUE_FULL",
    "SYNTHESIS_TIMEOUT",
    "SYNTHESIS_FAILED",
    "INVALID_AUDIO",
    "CLONE_FAILED",
    "NO_SENTENCES",
    # the earlier server had no more; these are ours
    "INPUT_TOO_LONG",
    "UNSPEAKABLE_TEXT",
    "INVALID_REQUEST",
    "CANNOT_CLONE",
    "ENGINE_NOT_READY",
    "VOICE_EXISTS",
    "VOICE_NOT_FOUND",
    "STORAGE_FAILED",
    "UNAUTHORIZED",
    "FORBIDDEN",
    "NOT_FOUND",
    "CONFLICT",
    "HTTP_ERROR",
    "INTERNAL_ERROR",
]

CLOSING: Final = frozenset({401, 413, 415, 421})
"""The statuses after which the connection is closed: the body, which may be large, was not read."""
MAX_FAULTS: Final = 20
"""The faults that are listed in one answer."""
RETRY_AFTER_S: Final = 1
"""The shortest wait told to a refused client: a sentence is made in less."""
MAX_RETRY_AFTER_S: Final = 60


class OpenAiError(BaseModel):
    """The part of an error's body that OpenAI's clients read."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of every error: `error` for OpenAI's clients, the rest for the earlier server's."""

    error: OpenAiError
    code: Code
    message: str
    context: dict[str, Any] = Field(description="what the error is about: names that are known, limits, fields")
    statusCode: int


class ApiError(Exception):
    """An error that is answered with its status and body."""

    def __init__(
        self,
        status: int,
        code: Code,
        message: str,
        *,
        param: str | None = None,
        context: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code: Code = code
        self.message = message
        self.param = param
        self.context = dict(context or {})
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Returns the answer's JSON, as `ErrorBody` describes it."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        openai = OpenAiError(message=self.message, type=kind, param=self.param, code=self.code.lower())
        whole = ErrorBody(
            error=openai, code=self.code, message=self.message, context=self.context, statusCode=self.status
        )
        return whole.model_dump()

    def response(self) -> web.Response:
        """Returns the answer to the client."""
        response = web.json_response(self.body(), status=self.status, headers=self.headers)
        if self.status in CLOSING:
            response.force_close()
        return response


def from_speech_error(error: SpeechError) -> ApiError:
    """Returns what a client is told of an engine's error."""
    match error:
        case UnknownVoice():
            return ApiError(400, "UNKNOWN_VOICE", str(error), param="voice", context={"known": list(error.known)})
        case UnspeakableText():
            return ApiError(400, "UNSPEAKABLE_TEXT", str(error), param="input")
        case CannotClone():
            return ApiError(501, "CANNOT_CLONE", str(error), context={"engine": error.engine})
        case EngineBusy():
            return queue_full(str(error))
        case EngineNotReady():
            return ApiError(503, "ENGINE_NOT_READY", str(error), headers={"Retry-After": str(error.retry_after_s)})
        case _:
            return ApiError(500, "SYNTHESIS_FAILED", str(error))


def from_validation_error(error: ValidationError) -> ApiError:
    """Returns what a client is told of a body that does not fit: the first MAX_FAULTS faults are in the context."""
    details = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_FAULTS]
    faults = [
        {"field": ".".join(str(part) for part in fault["loc"]) or "body", "reason": _reason(fault)} for fault in details
    ]
    field, reason = faults[0]["field"], faults[0]["reason"]
    if field == "input" and details[0]["type"] in ("missing", "string_too_short"):
        return empty_input()
    return ApiError(400, "INVALID_REQUEST", f"{field}: {reason}", param=field, context={"faults": faults})


def _reason(fault: Mapping[str, Any]) -> str:
    return str(fault["msg"]).removeprefix("Value error, ")


def empty_input() -> ApiError:
    """Returns the error of a request without text."""
    return ApiError(400, "EMPTY_INPUT", "input is required: there is no text to speak", param="input")


def queue_full(message: str, wait_s: float = 0.0) -> ApiError:
    """Returns the error of a request that finds no place, and likely finds one after `wait_s`."""
    retry_after_s = min(max(math.ceil(wait_s), RETRY_AFTER_S), MAX_RETRY_AFTER_S)
    return ApiError(503, "QUEUE_FULL", message, headers={"Retry-After": str(retry_after_s)})


def forbidden(message: str) -> ApiError:
    """Returns the error of a request that is understood, and that the administrator has switched off."""
    return ApiError(403, "FORBIDDEN", message)


def unforeseen(error: Exception) -> ApiError:
    """Logs a defect of this server and returns what the client is told, which is nothing of it."""
    log.error("unforeseen error", exc_info=error)
    return ApiError(500, "INTERNAL_ERROR", "internal error; the server's log says more")


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers every error of every route as JSON; those that nobody foresaw are logged."""
    try:
        return await handler(request)
    except ApiError as error:
        return error.response()
    except SpeechError as error:
        return from_speech_error(error).response()
    except web.HTTPException as error:
        if error.status < 400 or error.content_type == "application/json":
            raise
        return _from_http(request, error).response()
    except ConnectionResetError:
        raise  # the client is gone; aiohttp notes it and nobody is there to be told
    except Exception as error:
        return unforeseen(error).response()


def _from_http(request: web.Request, error: web.HTTPException) -> ApiError:
    kept = {name: error.headers[name] for name in ("Allow", "WWW-Authenticate", "Upgrade") if name in error.headers}
    match error.status:
        case 404:
            return ApiError(404, "NOT_FOUND", f"nothing is at {request.path}; /docs lists what there is")
        case 405:
            message = f"{request.method} is not for {request.path}; {kept.get('Allow', 'nothing')} is"
        case 413:
            message = "the body is too large"
        case _:
            message = error.text or error.reason
    return ApiError(error.status, "HTTP_ERROR", message, headers=kept)
