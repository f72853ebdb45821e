"""The tool file, what it may hold, and errors that say where it is wrong."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from bridge.brains.destinations import Destinations
from bridge.brains.http_tool import MAX_RESULT_CHARS, HttpTool
from bridge.brains.tools import Toolbox, load_tools
from tests.support.serving import serving


def test_a_tool_file(tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text(
        """
tools:
  - name: opening_hours
    description: When the shop is open.
    method: GET
    url: https://shop.example/hours
    headers: {Authorization: "Bearer ${SHOP_KEY}"}
    parameters: {type: object, properties: {day: {type: string}}, required: [day]}
"""
    )
    (tool,) = load_tools(path)
    assert tool.method == "GET"
    assert tool.parameters["required"] == ["day"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tools: [{name: x}]", "tools.0.description"),
        ("tools: [{name: transfer, description: d, url: 'http://x'}]", "'transfer' is taken"),
        ("tools: [{name: 'a b', description: d, url: 'http://x'}]", "tools.0.name"),
        ("tools: [{name: a, description: d, url: 'file:///etc/passwd'}]", "tools.0.url"),
        ("tools: [{name: a, description: d, url: 'http://{tenant}/x'}]", "hosts must list"),
        ("tools: [{name: a, description: d, url: 'http://{name}@h/x'}]", "hosts must list"),
        ("tols: []", "tols"),
        ("mcp: {shop: {}}", "mcp.shop: either url or command"),
        ("mcp: {shop: {url: 'http://x/mcp', command: [x]}}", "mcp.shop: either url or command"),
        ("mcp: {shop: {url: 'ws://x/mcp'}}", "mcp.shop.url"),
        ("mcp: {shop: {command: [x], headers: {A: b}}}", "mcp.shop: headers are for a url"),
        ("mcp: {'my shop': {command: [x]}}", "mcp.my shop"),
        ("tools: {", "while parsing"),
    ],
)
def test_a_wrong_tool_file_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_tools(path)


def test_a_missing_tool_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        load_tools(tmp_path / "none.yaml")


def tool(url: str, **fields: object) -> HttpTool:
    return HttpTool.model_validate({"name": "ask", "description": "d", "url": url, **fields})


@pytest.mark.parametrize("value", [".", "..", "../admin", "..\\admin", "a/../b"])
def test_a_caller_cannot_climb_the_path(value: str) -> None:
    with pytest.raises(ValueError, match="path"):
        tool("http://h/of/{name}/hours").address({"name": value})
    assert tool("http://h/of?who={name}").address({"name": value}).query["who"] == value


@pytest.mark.parametrize("value", ["Ada", "a.b", "...", "", "@evil/", "#x", "?y=z", "a b"])
def test_whatever_else_a_caller_is_called_is_one_part_of_the_path(value: str) -> None:
    url = tool("http://h/of/{name}/hours").address({"name": value})
    assert (url.host, url.user, url.parts) == ("h", None, ("/", "of", value, "hours"))


def test_a_variable_names_a_host_only_of_those_that_are_listed() -> None:
    asks = tool("http://{tenant}/x", hosts=["a.example", "B.example"])
    assert str(asks.address({"tenant": "b.example"})) == "http://b.example/x"
    for tenant in ("169.254.169.254", "a.example.evil", "u@a.example", ""):
        with pytest.raises(ValueError, match=r"host|Host|URL"):
            asks.address({"tenant": tenant})


async def test_a_redirect_is_not_followed_and_told_as_an_error() -> None:
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with serving(handle) as url, aiohttp.ClientSession() as http:
        result = await Toolbox(http, [tool(url)], Destinations("")).call("ask", "{}")
    assert result.content.startswith("error: HTTP 307")
    assert asked == ["/tool"]


async def test_the_model_is_shown_the_beginning_of_an_answer_in_pieces() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(b"x" * 1_000)
        return response

    async with serving(handle) as url, aiohttp.ClientSession() as http:
        result = await Toolbox(http, [tool(url)], Destinations("")).call("ask", "{}")
    assert result.content == "x" * MAX_RESULT_CHARS
