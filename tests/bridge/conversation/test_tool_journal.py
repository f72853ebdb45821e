"""What the agent's tools did is told to observers, and by web-hook at the end of the call."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.llm_server import Answer, LlmServer, ToolCall
from tests.support.serving import serving
from tests.support.whole_app import whole_app


async def test_a_tool_is_told_with_its_arguments_its_result_and_its_time(tmp_path: Path) -> None:
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def book(request: web.Request) -> web.Response:
        return web.json_response({"table": 7})

    async def hook(request: web.Request) -> web.Response:
        told.put_nowait(await request.json())
        return web.Response()

    async with (
        serving(book) as tool_url,
        serving(hook) as hook_url,
        LlmServer(Answer(tools=[ToolCall("book", {"people": 2})]), "It is booked.") as model,
    ):
        tools = tmp_path / "tools.yaml"
        tools.write_text(f"tools: [{{name: book, description: Book a table., url: '{tool_url}'}}]")
        settings = {"llm_base_url": model.url, "llm_model": "m", "llm_tools": tools, "webhook_url": hook_url}
        async with whole_app(**settings) as bench:
            peer = await bench.call()
            async with bench.http.ws_connect(f"/v1/calls/{peer.id}/events") as socket:
                await bench.said(peer, "A table for two, please.")
                while (event := await socket.receive_json())["type"] != "tool.done":
                    pass
            await peer.hear(voiced=True)
            await bench.ended(peer)
            while (ended := await told.get())["type"] != "call.ended":
                pass
    assert (event["tool"], json.loads(event["arguments"])) == ("book", {"people": 2})
    assert '{"table": 7}' in event["result"]
    assert 0 <= event["took_ms"] < 5_000
    assert ended["tools"] == [{name: value for name, value in event.items() if name not in ("type", "call_id")}]
