"""The language model of a run: OpenAI's chat API over HTTP, which answers what the plan says, token by token."""

from __future__ import annotations

import asyncio
import json
import re
from itertools import count
from typing import Any, Final, cast

from tests.simulation.caller import Caller
from tests.simulation.network import Address
from tests.simulation.plan import Answer
from tests.simulation.virtual_loop import VirtualLoop

ADDRESS: Final[Address] = ("10.0.0.4", 9000)
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_BROKEN: Final = b'{"error": {"message": "out of order"}}'
ENDLESS_S: Final = 0.05
"""How often a model that does not end says one word more."""
_LENGTH: Final = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_PAGE: Final = b"<html><body>Welcome to nginx!</body></html>"
TOOL: Final = "look_up_the_parcel"
_TOOLS: Final = {"hangup": "hangup", "tool": TOOL, "no tool": "open_sesame"}


class SimulatedModel:
    """Listens while it is up. The system prompt of each request names the call."""

    def __init__(self, loop: VirtualLoop, callers: list[Caller]) -> None:
        self.loop = loop
        self.callers = {caller.plan.name: caller for caller in callers}
        self.requests: dict[str, list[list[dict[str, Any]]]] = {name: [] for name in self.callers}
        """The messages of every request, by call."""
        self.tools = count(1)
        self.host = loop.network.host("model", ADDRESS)
        self.listen()

    def listen(self) -> None:
        """Takes connections, at the start and once it has been started again."""
        self.host.accept = lambda: _Session(self)

    def answer(self, messages: list[dict[str, Any]]) -> Answer:
        """Returns the answer to a request, and keeps what was asked."""
        name = re.search(r"call\d+", messages[0]["content"])
        assert name is not None
        asked = self.requests[name[0]]
        answers = self.callers[name[0]].plan.answers
        asked.append(messages)
        return answers[(len(asked) - 1) % len(answers)]


class _Session(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, model: SimulatedModel) -> None:
        self._model = model
        self._data = b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if end and length is not None and len(body) >= int(length[1]):
            self._data = b""
            answer = self._model.answer(json.loads(body)["messages"])
            self._task = self._model.loop.create_task(self._reply(answer))

    async def _reply(self, answer: Answer) -> None:
        await asyncio.sleep(answer.first_s)
        if answer.end == "error":
            self._whole(b"503 Service Unavailable", b"application/json", _BROKEN)
            return
        if answer.end == "refused":
            self._whole(b"401 Unauthorized", b"application/json", _BROKEN)
            return
        if answer.end == "page":
            self._whole(b"200 OK", b"text/html", _PAGE)
            return
        self._transport.write(_HEAD)
        tokens = [] if answer.end == "silent" else re.findall(r"\S+\s*", answer.text)
        if answer.end in ("hang", "dies"):
            tokens = tokens[: len(tokens) // 2]
        for token in tokens:
            self._delta({"content": token})
            await asyncio.sleep(answer.token_s)
        while answer.end == "endless":
            self._delta({"content": "never "})
            await asyncio.sleep(ENDLESS_S)
        if answer.end == "hang":
            return
        if answer.end == "dies":
            self._transport.abort()
            return
        if answer.end == "garbled":
            self._event(b'{"choices": [{"del')
        if (name := _TOOLS.get(answer.end)) is not None:
            function = {"name": name, "arguments": "{}"}
            self._delta(
                {
                    "tool_calls": [
                        {"index": 0, "id": f"c{next(self._model.tools)}", "type": "function", "function": function}
                    ]
                }
            )
        self._event(b"[DONE]")
        self._transport.write(b"0\r\n\r\n")

    def _whole(self, status: bytes, kind: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % (status, kind, len(body)) + body)

    def _delta(self, delta: dict[str, Any]) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
        self._event(json.dumps(chunk).encode())

    def _event(self, event: bytes) -> None:
        event = b"data: " + event + b"\n\n"
        self._transport.write(b"%x\r\n%s\r\n" % (len(event), event))
