"""One row for each HTTP operation: where it is, who handles it, and what the OpenAPI document says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel

Media = type[BaseModel] | Literal["audio", "events", "text", "html"]
"""What an answer holds: JSON of a model, encoded audio, server-sent events, plain text, a page."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handler: Handler
    summary: str
    answers: Mapping[int, tuple[str, tuple[Media, ...]]]
    """By status: what it means, and what comes with it."""
    details: str = ""
    body: type[BaseModel] | None = None
    body_required: bool = True
    form: Literal["json", "multipart"] = "json"
    """How the body travels; a multipart one has a `file` beside the model's fields."""
    errors: tuple[int, ...] = ()
    """Statuses that come with an ErrorBody."""
    curl: str = ""
    """An example: what follows `curl http://localhost:8000<path>`."""


OPERATIONS: Final = web.AppKey("operations", list[Operation])


def add_operations(app: web.Application, operations: list[Operation]) -> None:
    """Serve operations and have the OpenAPI document tell of them."""
    app.setdefault(OPERATIONS, []).extend(operations)
    for operation in operations:
        if operation.method == "GET":
            app.router.add_get(operation.path, operation.handler)
        else:
            app.router.add_route(operation.method, operation.path, operation.handler)
