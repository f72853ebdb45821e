"""What a language model's server answers: words and tool calls that can be sent back, or a ModelError."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
from openai import AsyncOpenAI

from fuzz.harness import fuzz, instrumented
from fuzz.loop import run
from fuzz.pieces import chosen, pieces

with instrumented(__name__, "bridge.brains"):
    from bridge.brains import bounded_http
    from bridge.brains.bounded_http import MAX_EVENT_BYTES, bounded
    from bridge.brains.brain import BrainError
    from bridge.brains.model import Model, ModelError, ModelOptions
    from bridge.brains.tool_calls import MAX_CALL_CHARS, MAX_TOOL_CALLS, ToolCalls

STATUSES: Final = (200, 200, 200, 400, 500)
TYPES: Final = ("text/event-stream", "application/json")


def _event(**delta: Any) -> bytes:
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**chunk, "choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def _called(**function: str) -> dict[str, Any]:
    return {"index": 0, "id": "call", "type": "function", "function": function}


SEEDS: Final = (
    b"\x00" + _event(role="assistant", content="Hello ") + _event(content="there.") + b"data: [DONE]\n\n",
    b"\x01" + _event(tool_calls=[_called(name="book", arguments="")]) + _event(tool_calls=[_called(arguments="{}")]),
    b"\x00" + _event(tool_calls=[[], {"index": {}, "id": 5, "function": "book", "extra_content": "\ud800"}]),
    b"\x03" + b'{"error": {"message": "tools are not supported", "code": "invalid"}}\n',
    b"\x02: comment\n\nevent: error\n" + b'data: {"error": {"message": "no"}}\n\n',
)


class _Answer(httpx2.AsyncByteStream):
    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


class _Server(httpx2.AsyncBaseTransport):
    """Answers every request with the input."""

    status, content_type, chunks = 200, TYPES[0], list[bytes]()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        headers = {"Content-Type": self.content_type}
        return httpx2.Response(self.status, headers=headers, stream=_Answer(self.chunks), request=request)


_SERVER: Final = _Server()
_HTTP: Final = httpx2.AsyncClient(transport=_SERVER, **bounded())
_CLIENT: Final = AsyncOpenAI(base_url="http://model/v1", api_key="key", max_retries=0, http_client=_HTTP)


async def _ask() -> None:
    calls, words = ToolCalls(), ""
    model = Model(_CLIENT, ModelOptions("m"))
    tools = [{"type": "function", "function": {"name": "book", "parameters": {}}}]
    until_s = asyncio.get_running_loop().time() + 5.0
    try:
        async for piece in model.answer([{"role": "user", "content": "hello"}], tools, until_s):
            if isinstance(piece, str):
                words += piece
            else:
                calls.add(piece)
    except (ModelError, BrainError) as error:
        assert str(error)
    words.encode()
    made = calls.finish()
    assert len(made) <= MAX_TOOL_CALLS
    assert sum(len(call.name) + len(call.arguments) for call in made) <= MAX_CALL_CHARS
    for call in made:
        assert call.id
        told = (call.id, call.name, call.arguments, call.extra)
        json.dumps(told, ensure_ascii=False, allow_nan=False).encode()  # as it is sent back


def check(data: bytes) -> None:
    how, stream = chosen(data)
    if len(stream) > MAX_EVENT_BYTES:
        return
    _SERVER.status = STATUSES[how % len(STATUSES)]
    _SERVER.content_type = TYPES[how // 8 % len(TYPES)]
    _SERVER.chunks = list(pieces(stream, how // 16)) if how & 1 else [stream]
    run(_ask())


if __name__ == "__main__":
    vars(bounded_http)["REST_S"] = 0.0  # between the slices of an answer, which would be most of the time here
    fuzz(check, SEEDS, is_json=True)
