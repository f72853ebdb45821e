"""Makes the OpenAPI 3.1 document at /openapi.json from the models that validate requests and shape answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from engine.encode import FORMATS
from engine.voice_store import NAME
from engine.web.errors import ErrorBody
from engine.web.operations import OPERATIONS as OPERATIONS_KEY
from engine.web.operations import Media, Operation
from engine.web.page import render_page

Json = dict[str, Any]

DESCRIPTION: Final = (
    "Text to speech over HTTP: OpenAI's endpoint, those of the earlier Qwen3-TTS server, and G.711 for telephony. "
    "Everything is streamed as it is made. Errors have one shape, `ErrorBody`, for both families of clients."
)
AUDIO_TYPES: Final = tuple(dict.fromkeys(form.media_type for form in FORMATS.values()))
MEDIA_TYPES: Final[dict[str, tuple[str, ...]]] = {
    "audio": AUDIO_TYPES,
    "events": ("text/event-stream",),
    "lines": ("application/x-ndjson",),
    "text": ("text/plain",),
    "html": ("text/html",),
}
PATH_PARAMETERS: Final[dict[str, Json]] = {
    "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
}
ERROR_MEANINGS: Final = {
    400: "the request cannot be served as it is",
    401: "the API key is missing or wrong",
    404: "there is no such thing",
    408: "the body did not arrive in time",
    409: "it exists already, or its state is not one for this",
    413: "the body or the recording is too large",
    415: "the body is of another kind",
    426: "this is a WebSocket",
    500: "the engine failed",
    501: "this engine cannot clone",
    503: "too much is asked for at once; `Retry-After` says when to come again",
    504: "the engine made no audio in time",
}


class Description:
    """The document and its page, ready to be sent. Making them takes the event loop some 20 ms."""

    def __init__(
        self,
        voice_names: Callable[[], list[str]],
        settle: Callable[[dict[str, Json]], None],
        stored_names: Callable[[], list[str]],
        key: bool,
    ) -> None:
        """`settle` completes the schemas with what is known at run time alone; `key` says that an API key is wanted.

        The page is open to everybody, so with a key it does not name the voices of `stored_names`.
        """
        self.document = b""
        """The document as JSON."""
        self.page = ""
        self.page_policy = ""
        self._voice_names, self._settle, self._key = voice_names, settle, key
        self._stored_names = stored_names
        self._voices: list[str] | None = None

    def of_the_moment(self, app: web.Application) -> Description:
        """Returns itself, made anew where the voices that it names have changed: all else is fixed once `app` runs."""
        voices = self._voice_names()
        if voices != self._voices:
            whole = self._whole(app[OPERATIONS_KEY])
            self.document = json.dumps(whole).encode()
            self.page, self.page_policy = render_page(whole, self._stored_names() if self._key else ())
            self._voices = voices
        return self

    def _whole(self, operations: list[Operation]) -> Json:
        schemas = _schemas(operations)
        self._settle(schemas)
        paths: dict[str, Json] = {}
        for operation in operations:
            paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation, schemas)
        whole: Json = {
            "openapi": "3.1.0",
            "info": {"title": "Talkspurt", "version": version("talkspurt"), "description": DESCRIPTION},
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {"schemas": schemas},
        }
        if self._key:
            whole["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            whole["security"] = [{"key": []}]
            for path in ("/health", "/docs"):  # open to everybody, see engine/web/access.py
                paths[path]["get"]["security"] = []
        return whole


DESCRIPTION_KEY: Final = web.AppKey("description", Description)


async def describe_at_start(app: web.Application) -> None:
    """Makes the description before anyone is served."""
    app[DESCRIPTION_KEY].of_the_moment(app)


def _schemas(operations: list[Operation]) -> dict[str, Json]:
    models: set[type[BaseModel]] = {ErrorBody}
    for operation in operations:
        if operation.body is not None:
            models.add(operation.body)
        models.update(media for _, medias in operation.answers.values() for media in medias if isinstance(media, type))
    by_name = sorted(models, key=lambda model: model.__name__)
    _, whole = models_json_schema(
        [(model, "validation") for model in by_name], ref_template="#/components/schemas/{model}"
    )
    return dict(whole["$defs"])


def _describe(operation: Operation, schemas: dict[str, Json]) -> Json:
    described: Json = {"summary": operation.summary, "operationId": operation.handler.__name__}
    if operation.details:
        described["description"] = operation.details
    names = re.findall(r"\{(\w+)\}", operation.path)
    if names:
        described["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": PATH_PARAMETERS.get(name, {"type": "string"})}
            for name in names
        ]
    if operation.body is not None:
        described["requestBody"] = {"required": operation.body_required, "content": _body(operation, schemas)}
    answers: Json = {
        str(status): {"description": meaning, "content": _content(medias)}
        for status, (meaning, medias) in operation.answers.items()
    }
    error = {"content": {"application/json": {"schema": _reference(ErrorBody)}}}
    answers |= {str(status): {"description": ERROR_MEANINGS[status], **error} for status in operation.errors}
    answers["default"] = {"description": "any other error", **error}
    described["responses"] = answers
    if operation.curl:
        described["x-curl"] = operation.curl
    return described


def _body(operation: Operation, schemas: dict[str, Json]) -> Json:
    assert operation.body is not None
    if operation.form == "json":
        return {"application/json": {"schema": _reference(operation.body)}}
    model = schemas[operation.body.__name__]
    file = {"type": "string", "format": "binary", "description": "the recording"}
    fields = {operation.recording: file} | {name: _form_field(field) for name, field in model["properties"].items()}
    schema = {"type": "object", "properties": fields, "required": [operation.recording, *model.get("required", [])]}
    return {"multipart/form-data": {"schema": schema}}


def _form_field(field: Json) -> Json:
    """Returns a form field's schema without null, which a form does not have: a field not given is left out."""
    kept = {name: value for name, value in field.items() if not (name == "default" and value is None)}
    if "anyOf" in kept:
        choices = [choice for choice in kept.pop("anyOf") if choice != {"type": "null"}]
        kept |= choices[0] if len(choices) == 1 else {"anyOf": choices}
    return kept


def _content(medias: tuple[Media, ...]) -> Json:
    content: Json = {}
    for media in medias:
        if isinstance(media, type):
            content["application/json"] = {"schema": _reference(media)}
        else:
            content |= {kind: {} for kind in MEDIA_TYPES[media]}
    return content


def _reference(model: type[BaseModel]) -> Json:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


class OpenApiDocument(BaseModel):
    """An OpenAPI document."""

    openapi: str


async def get_document(request: web.Request) -> web.Response:
    description = request.app[DESCRIPTION_KEY].of_the_moment(request.app)
    return web.Response(body=description.document, content_type="application/json", charset="utf-8")


async def get_page(request: web.Request) -> web.Response:
    description = request.app[DESCRIPTION_KEY].of_the_moment(request.app)
    policy = {"Content-Security-Policy": description.page_policy}
    return web.Response(text=description.page, content_type="text/html", headers=policy)


OPERATIONS: Final = [
    Operation(
        "GET",
        "/openapi.json",
        get_document,
        "This description, for machines",
        {200: ("an OpenAPI 3.1 document", (OpenApiDocument,))},
    ),
    Operation("GET", "/docs", get_page, "This description, for people", {200: ("a page", ("html",))}),
]
