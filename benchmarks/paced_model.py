"""A language model for benchmarks that answers at a given pace, and counts the tokens that it has sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from dataclasses import dataclass
from typing import Final

from aiohttp import web

ANSWER: Final = "That is no problem at all. Is there anything else that I can do for you today?"


@dataclass(frozen=True, slots=True)
class Pace:
    """When a model's tokens come."""

    first_ms: int
    token_ms: int

    def __str__(self) -> str:
        return f"{self.first_ms} ms + {self.token_ms} ms a token"


class PacedModel:
    """The server; an async context manager. `url` is the chat API's. A word is a token."""

    def __init__(self) -> None:
        self.url = ""
        self.pace = Pace(100, 20)
        self._sent: list[int] = []
        """How many tokens each request of this turn has been sent."""
        self.asked_s: list[float] = []
        """When each request came, in seconds of the monotonic clock."""

    async def __aenter__(self) -> PacedModel:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._complete)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def begin_turn(self) -> None:
        """Counts anew."""
        self._sent = []

    def wasted_tokens(self) -> int:
        """Returns how many tokens of this turn belonged to answers that were dropped: all but the latest."""
        return sum(self._sent[:-1])

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        clock = asyncio.get_running_loop().time
        self.asked_s.append(clock())
        due_s = self.asked_s[-1] + self.pace.first_ms / 1000
        number, sent = len(self._sent), self._sent
        sent.append(0)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError):  # the server has dropped this answer
            await self._send(response, number, sent, due_s)
        return response

    async def _send(self, response: web.StreamResponse, number: int, sent: list[int], due_s: float) -> None:
        clock = asyncio.get_running_loop().time
        for token in re.findall(r"\S+\s*", ANSWER):
            await asyncio.sleep(due_s - clock())
            due_s += self.pace.token_ms / 1000
            sent[number] += 1
            choice = {"index": 0, "delta": {"content": token}, "finish_reason": None}
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "paced", "choices": [choice]}
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
