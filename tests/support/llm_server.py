"""A local server of OpenAI's chat API: answers what the test tells it to, token by token, at the test's pace."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class ToolCall:
    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)
    """A text is sent as it stands."""


@dataclass
class Answer:
    """One answer of the model."""

    text: str = ""
    tools: list[ToolCall] = field(default_factory=list)
    first_token_s: float = 0.0
    token_s: float = 0.0
    hang: bool = False
    """Say nothing more, without ending."""
    dies: bool = False
    """Break the connection instead of ending."""
    blank: str = ""
    """Sent before the text, letter by letter."""
    deltas: list[dict[str, Any]] = field(default_factory=list)
    """Sent after the text, as they stand."""
    rest: str = ""
    """Said once `LlmServer.go_on` is set."""
    status: int = 200
    rubbish: bytes = b""
    """Instead of the end, or of everything where there is no text."""


class LlmServer:
    """Give it answers in order (`answers`), or a function of the messages (`respond`); it keeps every request."""

    def __init__(
        self,
        *answers: Answer | str,
        respond: Callable[[list[dict[str, Any]]], Answer] | None = None,
        refuse: Callable[[dict[str, Any]], tuple[int, str] | None] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.answers: deque[Answer | str] = deque(answers)
        self.respond = respond
        self.refuse = refuse
        """Tells with what status and words a request is refused, if it is. A refused request has no answer."""
        self.requests: list[dict[str, Any]] = []
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.left = asyncio.Event()
        """A client went away before its answer's end."""
        self.url = ""
        self._tls = tls
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> LlmServer:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._complete)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.asked.set()
        if self.refuse is not None and (refusal := self.refuse(body)) is not None:
            status, message = refusal
            return web.json_response({"error": {"message": message}}, status=status)
        answer = self.respond(body["messages"]) if self.respond else self.answers.popleft()
        if isinstance(answer, str):
            answer = Answer(answer)
        if answer.status != 200:
            return web.json_response({"error": {"message": "out of order"}}, status=answer.status)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            await self._stream(request, response, answer)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise
        return response

    async def _stream(self, request: web.Request, response: web.StreamResponse, answer: Answer) -> None:
        await asyncio.sleep(answer.first_token_s)
        for letter in answer.blank:
            await _send(response, {"content": letter})
        await _say(response, answer.text, answer.token_s)
        if answer.rest:
            await self.go_on.wait()
            await _say(response, answer.rest, answer.token_s)
        for delta in answer.deltas:
            await _send(response, delta)
        for index, tool in enumerate(answer.tools):
            arguments = tool.arguments if isinstance(tool.arguments, str) else json.dumps(tool.arguments)
            call = {"index": index, "id": f"call_{len(self.requests)}_{index}", "type": "function"}
            await _send(response, {"tool_calls": [{**call, "function": {"name": tool.name, "arguments": ""}}]})
            for part in (arguments[:5], arguments[5:]):
                await _send(response, {"tool_calls": [{"index": index, "function": {"arguments": part}}]})
        if answer.hang:
            await asyncio.Event().wait()
        if answer.dies:
            assert request.transport is not None
            request.transport.abort()
            return
        if answer.rubbish:
            await response.write(answer.rubbish)
            return
        await response.write(b"data: [DONE]\n\n")


async def _say(response: web.StreamResponse, text: str, token_s: float) -> None:
    for token in re.findall(r"\S+\s*", text):
        await _send(response, {"content": token})
        await asyncio.sleep(token_s)


async def _send(response: web.StreamResponse, delta: dict[str, Any]) -> None:
    chunk = {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    }
    await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
