"""Reads request bodies into their models: JSON and multipart forms, bounded in size and time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ValidationError

from engine.web.errors import ApiError, from_validation_error

BODY_TIMEOUT_S: Final = 60.0
"""A body that takes longer than this to arrive is given up."""
MAX_JSON_BYTES: Final = 256 * 1024
"""More than any text that may be said takes as JSON, and parsed in a few milliseconds."""
MAX_MEMBERS: Final = 1000
"""Members of objects in a JSON body. Each may be a fault, and 20,000 faults hold the event loop for 80 ms."""
MAX_FIELD_BYTES: Final = 256 * 1024
MAX_FIELDS_BYTES: Final = 2**20
"""What a form may have beside its file."""
MAX_PARTS: Final = 32
FILE_PARTS: Final = ("file", "audio_sample")
"""The names of a form's recording: ours, and OpenAI's."""

_MEMBER: Final = re.compile(rb'"\s*:')

Body = TypeVar("Body", bound=BaseModel)


@web.middleware
async def refuse_compressed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses compressed bodies unread: a few kilobytes of one can stand for gigabytes. Raises ApiError."""
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise ApiError(415, "INVALID_REQUEST", f"the body's encoding is {encoding[:40]!r}; send it as it is")
    return await handler(request)


async def read_json(request: web.Request, model: type[Body]) -> Body:
    """Returns a JSON body of MAX_JSON_BYTES at most as its model. Raises ApiError or HTTPRequestEntityTooLarge."""
    if request.headers.get("Content-Type") and not request.content_type.endswith(("/json", "+json")):
        raise ApiError(415, "INVALID_REQUEST", f"the body is {request.content_type}; send it as application/json")
    length = request.content_length or 0
    if length > MAX_JSON_BYTES:
        raise web.HTTPRequestEntityTooLarge(MAX_JSON_BYTES, length)
    async with in_time():
        data = await request.clone(client_max_size=MAX_JSON_BYTES).read()
    return parse_json(data, model)


def parse_json(data: bytes | str, model: type[Body]) -> Body:
    """Returns JSON as its model, with types as JSON has them: "8000" is no number. Raises ApiError."""
    data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if sum(1 for _ in _MEMBER.finditer(data)) > MAX_MEMBERS:
        raise ApiError(400, "INVALID_REQUEST", f"body: it has more than {MAX_MEMBERS} members", param="body")
    try:
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise from_validation_error(error) from None


async def read_form(request: web.Request, model: type[Body], max_file_bytes: int) -> tuple[Body, bytes | None]:
    """Returns a multipart form as its model, and its file or None. Raises ApiError."""
    if request.content_type != "multipart/form-data":
        raise ApiError(415, "INVALID_REQUEST", f"the body is {request.content_type}; send it as multipart/form-data")
    most_bytes, length = max_file_bytes + MAX_FIELDS_BYTES, request.content_length or 0
    if length > most_bytes:  # what stands before the first part and between the parts counts too
        raise web.HTTPRequestEntityTooLarge(most_bytes, length)
    fields: dict[str, str] = {}
    file: bytes | None = None
    try:
        async with in_time():
            reader = await request.multipart()
            for _ in range(MAX_PARTS):
                part = await reader.next()
                if part is None:
                    break
                if not isinstance(part, BodyPartReader) or not part.name:
                    raise ApiError(400, "INVALID_REQUEST", "every part of the form needs a name")
                if part.name in FILE_PARTS:
                    file = await _read_part(part, max_file_bytes)
                else:
                    fields[part.name] = (await _read_part(part, MAX_FIELD_BYTES)).decode()
            else:
                raise ApiError(400, "INVALID_REQUEST", f"the form has more than {MAX_PARTS} parts")
    except (HttpProcessingError, ValueError, AssertionError, LookupError, RuntimeError) as error:
        reason = getattr(error, "message", "") or str(error)  # aiohttp has many ways to say that a form is malformed
        raise ApiError(400, "INVALID_REQUEST", f"the form cannot be read: {' '.join(reason.split())}") from None
    try:
        return model.model_validate(fields), file
    except ValidationError as error:
        raise from_validation_error(error) from None


async def _read_part(part: BodyPartReader, max_bytes: int) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk():
        data += chunk
        if len(data) > max_bytes:
            raise ApiError(
                413,
                "INVALID_AUDIO" if part.name in FILE_PARTS else "INVALID_REQUEST",
                f"{part.name} is larger than {max_bytes} bytes",
                param=part.name,
                context={"limit": max_bytes},
            )
    return bytes(part.decode(data))


@asynccontextmanager
async def in_time() -> AsyncGenerator[None, None]:
    """Bounds the time in which a body is read: raises ApiError when it does not arrive."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            yield
    except TimeoutError:
        raise ApiError(408, "INVALID_REQUEST", f"the body did not arrive within {BODY_TIMEOUT_S:g} s") from None
