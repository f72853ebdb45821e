"""A language model that answers as each scenario says, and the tools that it calls: one server for all calls."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import yaml
from aiohttp import web

from bridge.converse.scenario import ModelAnswer, Scenario
from bridge.converse.timeline import ToolCall

SYSTEM_PROMPT: Final = "call {call}"
"""The prompt by which a request tells which call it belongs to; `call` is a variable of the call."""
_CALL: Final = re.compile(r"call:? *\"?([0-9a-f-]{36})")
UNKNOWN: Final = ModelAnswer(say="I do not know.")


class ScriptedModel:
    """The server; an async context manager. `url` is the chat API's."""

    def __init__(self) -> None:
        self.url = ""
        self._scenarios: dict[str, Scenario] = {}
        self._tools: dict[str, list[ToolCall]] = {}
        self._asked = 0

    async def __aenter__(self) -> ScriptedModel:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_post("/tools/{call}/{name}", self._use)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._root = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.url = f"{self._root}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def expect(self, call_id: UUID, scenario: Scenario) -> list[ToolCall]:
        """Learns whose call is to come; returns the list to which its tools' calls will be added."""
        self._scenarios[str(call_id)] = scenario
        return self._tools.setdefault(str(call_id), [])

    def write_tools(self, scenarios: Sequence[Scenario], path: Path) -> None:
        """Writes the file of the tools that these scenarios name, each once, for the server's LLM_TOOLS."""
        names = sorted({name for scenario in scenarios for name in scenario.tools})
        tools = [
            {
                "name": name,
                "description": name.replace("_", " "),
                "url": f"{self._root}/tools/{{call}}/{name}",
                "parameters": {"type": "object", "additionalProperties": True},
                "timeout_ms": 30_000,
            }
            for name in names
        ]
        path.write_text(yaml.safe_dump({"tools": tools}))

    async def _use(self, request: web.Request) -> web.Response:
        call, name = request.match_info["call"], request.match_info["name"]
        scenario = self._scenarios.get(call)
        if scenario is None or name not in scenario.tools:
            return web.json_response({"error": "this call has no such tool"}, status=404)
        self._tools[call].append(ToolCall(name, await request.json()))
        stand_in = scenario.tools[name]
        await asyncio.sleep(stand_in.after_ms / 1000)
        return web.Response(text=stand_in.result)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        messages = (await request.json())["messages"]
        answer = self.answer(messages)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(answer.after_ms / 1000)
        for token in re.findall(r"\S+\s*", answer.say):
            await _send(response, {"content": token})
            await asyncio.sleep(answer.token_ms / 1000)
        if answer.tool is not None:
            self._asked += 1
            function = {"name": answer.tool.name, "arguments": json.dumps(answer.tool.arguments)}
            call = {"index": 0, "id": f"call_{self._asked}", "type": "function", "function": function}
            await _send(response, {"tool_calls": [call]})
        await response.write(b"data: [DONE]\n\n")
        return response

    def answer(self, messages: Sequence[dict[str, Any]]) -> ModelAnswer:
        """Returns the first answer of the call's scenario that fits the latest message."""
        found = _CALL.search(str(messages[0]["content"])) if messages else None
        scenario = self._scenarios.get(found[1]) if found else None
        latest = str(messages[-1]["content"]) if messages else ""
        earlier = "\n".join(str(message["content"]) for message in messages[1:-1])
        for answer in scenario.answers if scenario else ():
            found_in = ((answer.heard, latest), (answer.knows, earlier))
            if all(re.search(pattern, text, re.IGNORECASE) for pattern, text in found_in):
                return answer
        return UNKNOWN


async def _send(response: web.StreamResponse, delta: dict[str, Any]) -> None:
    chunk = {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "scripted",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    }
    await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
