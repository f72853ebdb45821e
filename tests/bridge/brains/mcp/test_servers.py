"""Tools of a real MCP server over both transports: listed, called, bounded; a server that dies, hangs or is away."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from bridge.brains.http_tool import MAX_RESULT_CHARS, HttpTool
from bridge.brains.mcp.server_file import McpServerFile, McpToolOptions
from bridge.brains.mcp.servers import McpServers
from bridge.brains.tool import Tool
from bridge.brains.tool_result import ToolResult
from bridge.brains.tools import with_distinct_names
from bridge.commands.check import check_tool_servers
from tests.support.llm_brain import brain, collect, text_of
from tests.support.llm_server import Answer, LlmServer, ToolCall
from tests.support.mcp_server.http import mcp_over_http
from tests.support.mcp_server.tools import Shop
from tests.support.whole_app import whole_app

COMMAND = [sys.executable, "-m", "tests.support.mcp_server.tools"]
ENV = {"SHOP_KEY": "${MCP_TEST_KEY}", "PYTHONPATH": "${PYTHONPATH}"}
ALL = {"opening_hours", "book", "fail", "huge", "long", "die", "secret", "hangup"}


@asynccontextmanager
async def connected(file: McpServerFile) -> AsyncIterator[McpServers]:
    servers = McpServers({"shop": file})
    await servers.start(60)
    try:
        yield servers
    finally:
        await servers.close()
        assert all(task.done() for task in servers._tasks)


@pytest.fixture(params=["http", "stdio"])
async def servers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[McpServers]:
    monkeypatch.setenv("MCP_TEST_KEY", "s3cret")
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    if request.param == "stdio":
        async with connected(McpServerFile(command=COMMAND, env=ENV, timeout_ms=60_000)) as servers:
            yield servers
        return
    shop = Shop()
    shop.go_on.set()
    async with mcp_over_http(shop) as url, connected(McpServerFile(url=url, timeout_ms=60_000)) as servers:
        yield servers


async def use(servers: McpServers, name: str, **arguments: object) -> ToolResult:
    (tool,) = (tool for tool in servers.tools() if tool.name == name)
    async with aiohttp.ClientSession() as http:
        return await tool.call(http, {}, arguments, "key-1")


async def test_its_tools_are_listed_and_called(servers: McpServers) -> None:
    tools = {tool.name: tool for tool in servers.tools()}
    assert set(tools) == ALL
    assert tools["opening_hours"].description == "When the shop is open."
    assert tools["opening_hours"].parameters["required"] == ["day"]
    assert not tools["opening_hours"].finishes, "it only reads"
    assert tools["book"].finishes, "it may have effects"
    assert await use(servers, "opening_hours", day="Monday") == ToolResult("Monday: nine to five")
    assert await use(servers, "book", people=2) == ToolResult("booked for 2")
    failed = await use(servers, "fail")
    assert failed.content.startswith("error: ")
    assert failed.is_certain, "the server has said what came of it"


async def test_an_answer_is_cut_and_one_of_2_mb_is_not_read_and_ends_nothing_else(servers: McpServers) -> None:
    assert await use(servers, "long") == ToolResult("y" * MAX_RESULT_CHARS)
    huge = await use(servers, "huge", megabytes=2)
    assert huge.content.startswith("error: ")
    assert huge.content.endswith("; it may have been done all the same")
    assert not huge.is_certain
    assert (await use(servers, "book", people=3)).content == "booked for 3", "the connection is still the same"


async def test_calls_are_at_work_at_the_same_time() -> None:
    shop = Shop()
    async with mcp_over_http(shop) as url, connected(McpServerFile(url=url)) as servers:
        calls = [asyncio.create_task(use(servers, "book", people=people)) for people in (1, 2)]
        for _ in calls:
            await shop.at_work.acquire()
        shop.go_on.set()
        assert [(await call).content for call in calls] == ["booked for 1", "booked for 2"]
        assert [key for *_, key in shop.asked] == ["key-1", "key-1"]


async def test_a_server_that_hangs_is_not_waited_for_and_is_told_so() -> None:
    shop = Shop()
    options = {"book": McpToolOptions(timeout_ms=300), "none": McpToolOptions()}
    async with mcp_over_http(shop) as url, connected(McpServerFile(url=url, tools=options)) as servers:
        assert [tool.name for tool in servers.tools()] == ["book"], "only those that the file names"
        result = await use(servers, "book", people=2)
        assert result == ToolResult("error: no answer within 300 ms; it may have been done all the same", None, False)
        await asyncio.wait_for(shop.cancelled.wait(), 20)


async def test_a_process_that_dies_in_mid_call_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_TEST_KEY", "s3cret")
    monkeypatch.setenv("LLM_API_KEY", "not for tools")
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    async with connected(McpServerFile(command=COMMAND, env=ENV, timeout_ms=60_000)) as servers:
        assert (await use(servers, "secret")).content == "s3cret None", "it gets its own environment and none of ours"
        assert (await use(servers, "die")) == ToolResult(
            "error: Connection closed; it may have been done all the same", None, False
        )
        connection = servers.connections[0]
        assert {tool.name for tool in servers.tools()} == ALL, "the model is told that the server is away"
        await asyncio.wait_for(connection.listed.wait(), 60)
        assert (await use(servers, "opening_hours", day="Monday")).content == "Monday: nine to five"


async def test_a_server_over_http_that_is_away_is_tried_again_and_stops_no_call() -> None:
    shop = Shop()
    shop.go_on.set()
    async with mcp_over_http(shop) as url:
        port = int(url.split(":")[2].split("/")[0])
    servers = McpServers({"shop": McpServerFile(url=url)})
    await servers.start(0.05)
    assert servers.tools() == []
    async with mcp_over_http(shop, port):
        await asyncio.wait_for(servers.connections[0].listed.wait(), 60)
        assert (await use(servers, "opening_hours", day="Monday")).content == "Monday: nine to five"
    assert (await use(servers, "book", people=1)).content.startswith("error: Connection closed")
    assert await use(servers, "book", people=1) == ToolResult("error: the server of this tool is away")
    await servers.close()
    assert all(task.done() for task in servers._tasks)


async def test_a_model_uses_it_like_any_other_tool() -> None:
    shop = Shop()
    call = Answer("I book it.", [ToolCall("book", {"people": 2})])
    async with mcp_over_http(shop) as url, connected(McpServerFile(url=url)) as servers:
        tools = with_distinct_names(servers.tools())
        async with LlmServer(call, "It is booked.", "Yes.") as model, brain(model, *tools) as ai:
            turn = asyncio.create_task(collect(ai.answer("a table for two")))
            await shop.at_work.acquire()
            turn.cancel()  # the caller interrupts
            await asyncio.wait({turn})
            ai.heard("I book", interrupted=True)
            shop.go_on.set()
            assert text_of(await collect(ai.answer("is it booked?"))) == "It is booked."
            assert shop.done == 1
            roles = [(message["role"], message["content"]) for message in model.requests[1]["messages"]]
            assert ("tool", "booked for 2") in roles, "what it did is remembered"
            offered = [tool["function"]["name"] for tool in model.requests[0]["tools"]]
            assert offered.count("hangup") == 1


def test_no_tool_of_a_server_takes_anothers_place() -> None:
    def tool(name: str, description: str) -> Tool:
        return HttpTool(name=name, description=description, url="http://x")

    kept = with_distinct_names([tool("book", "a"), tool("book", "b"), tool("transfer", "c"), tool("ask", "d")])
    assert [(tool.name, tool.description) for tool in kept] == [("book", "a"), ("ask", "d")]


async def test_a_call_has_its_tools_and_starts_without_a_server_that_is_away(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    shop = Shop()
    shop.go_on.set()
    path = tmp_path_factory.mktemp("tools") / "tools.yaml"
    call = Answer(tools=[ToolCall("opening_hours", {"day": "Monday"})])
    async with mcp_over_http(shop) as url, LlmServer(call, "Nine to five.") as model:
        path.write_text(f"mcp:\n  shop: {{url: '{url}'}}\n  gone: {{command: [/no/such/program]}}\n")
        settings = {"llm_base_url": model.url, "llm_model": "m", "llm_tools": path}
        async with whole_app(**settings) as bench:
            peer = await bench.call()
            await bench.post(
                f"/v1/calls/{peer.id}/events",
                {"type": "conversation.item.input_audio_transcription.completed", "item_id": "1", "transcript": "hi"},
            )
            await peer.hear(voiced=True)
            assert model.requests[1]["messages"][-1]["content"] == "Monday: nine to five"
            await bench.ended(peer)


async def test_keys_are_not_logged_and_the_check_says_which_server_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHOP_KEY", "hush-hush")
    shop = Shop()
    path = tmp_path / "tools.yaml"
    async with mcp_over_http(shop) as url:
        path.write_text(
            "mcp:\n"
            f"  shop: {{url: '{url}?key=${{SHOP_KEY}}', headers: {{X-Key: '${{SHOP_KEY}}'}}, tools: {{book: {{}}}}}}\n"
            "  gone: {url: 'http://user:${SHOP_KEY}@127.0.0.1:1/mcp', headers: {X-Key: '${SHOP_KEY}'}}\n"
        )
        monkeypatch.setattr("bridge.brains.mcp.connection.CONNECT_S", 5.0)
        assert await check_tool_servers(path) == 1
    told = capfd.readouterr()
    assert "MCP server shop: tools book" in told.out
    assert "MCP server gone: ConnectError" in told.err
    assert "hush-hush" not in told.out + told.err
