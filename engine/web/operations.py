"""One row for each HTTP operation: its path, its handler, and what the OpenAPI document says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel

Media = type[BaseModel] | Literal["audio", "events", "lines", "text", "html"]
"""The content of an answer: JSON of a model, encoded audio, server-sent events, lines of JSON, plain text or a page."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handler: Handler
    summary: str
    answers: Mapping[int, tuple[str, tuple[Media, ...]]]
    """The meaning and the content of each status of a good answer."""
    details: str = ""
    body: type[BaseModel] | None = None
    body_required: bool = True
    form: Literal["json", "multipart"] = "json"
    """The encoding of the body; a multipart one has a recording beside the model's fields."""
    recording: str = "file"
    """The name of the recording's part."""
    errors: tuple[int, ...] = ()
    """The statuses that come with an ErrorBody."""
    curl: str = ""
    """The arguments that follow `curl http://localhost:8000<path>` in an example."""


OPERATIONS: Final = web.AppKey("operations", list[Operation])


def add_operations(app: web.Application, operations: list[Operation]) -> None:
    """Adds the operations to the application's routes and to its OpenAPI document."""
    app.setdefault(OPERATIONS, []).extend(operations)
    for operation in operations:
        if operation.method == "GET":
            app.router.add_get(operation.path, operation.handler)
        else:
            app.router.add_route(operation.method, operation.path, operation.handler)
