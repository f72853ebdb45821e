"""The tools of a language model: it may transfer, hang up, and call HTTP tools from a YAML file."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import quote, unquote

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, model_validator
from yarl import URL

from bridge.brains.brain import HangUp, Transfer, fill
from bridge.brains.destinations import Destinations, NotAllowed
from bridge.brains.yaml_file import read_yaml

MAX_RESULT_CHARS: Final = 4_000
"""How much of a tool's answer the model is shown."""
_ENVIRONMENT: Final = re.compile(r"\$\{(\w+)\}")
_DOTS: Final = frozenset({".", ".."})
"""Parts of a path that lead elsewhere; a caller may choose what fills a part."""


class HttpTool(BaseModel):
    """One tool of the YAML file. The model's arguments become a JSON body, or the query of a GET."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-zA-Z][a-zA-Z0-9_]{0,63}$")
    description: str = Field(min_length=1)
    url: str = Field(pattern=r"^https?://")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: dict[str, str] = {}
    parameters: dict[str, Any] = {"type": "object", "properties": {}}
    timeout_ms: int = Field(default=5_000, ge=1, le=60_000)
    hosts: list[str] = []
    """The hosts that the URL may name, if a variable of the call stands before its path."""

    @model_validator(mode="after")
    def _goes_where_the_file_says(self) -> Self:
        if not self.hosts and "{" in _before_the_path(_ENVIRONMENT.sub("", self.url)):
            raise ValueError("hosts must list what a URL with a variable before its path may name")
        return self

    def address(self, variables: Mapping[str, str]) -> URL:
        """Returns the URL for a call with these variables. Raises ValueError if they would lead elsewhere."""
        text = fill(_environment(self.url), {name: quote(value, safe="") for name, value in variables.items()})
        url = URL(text, encoded=True)
        if self.hosts and url.host not in {host.casefold() for host in self.hosts}:
            raise ValueError("the URL's host is not one of the tool's hosts")
        if not _DOTS.isdisjoint(re.split(r"[/\\]", unquote(url.raw_path))):
            raise ValueError("a variable would change the URL's path")
        return url


class _ToolFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tools: list[HttpTool] = []


def load_tools(path: Path) -> list[HttpTool]:
    """Returns the tools of a YAML file. Raises ValueError.

    `${NAME}` in headers and URLs stands for the environment's variable NAME, read at each request.
    """
    tools = read_yaml(path, _ToolFile).tools
    names = [tool.name for tool in tools]
    for name in names:
        if name in ("transfer", "hangup") or names.count(name) > 1:
            raise ValueError(f"{path}: the tool name {name!r} is taken")
    return tools


@dataclass(slots=True)
class ToolResult:
    """The outcome of a tool call."""

    content: str
    """The text that the model is told."""
    action: Transfer | HangUp | None = None
    """What is to be done when the turn has been heard."""


@dataclass(slots=True)
class Toolbox:
    """The tools of one call."""

    http: aiohttp.ClientSession
    tools: list[HttpTool]
    destinations: Destinations
    variables: Mapping[str, str] = field(default_factory=dict)

    def specifications(self) -> list[dict[str, Any]]:
        """Returns the tools in the form in which OpenAI's API describes them."""
        specifications = [_specification("hangup", "End the call, after what you have said has been heard.", {})]
        if self.destinations:
            destination: dict[str, Any] = {"type": "string", "description": "Where to send the caller."}
            if self.destinations.names:
                destination["enum"] = sorted(self.destinations.names)
            parameters = {"type": "object", "properties": {"destination": destination}, "required": ["destination"]}
            what = "Transfer the caller, after what you have said has been heard. Say that you do it."
            specifications.append(_specification("transfer", what, parameters))
        return specifications + [_specification(tool.name, tool.description, tool.parameters) for tool in self.tools]

    async def call(self, name: str, arguments: str) -> ToolResult:
        """Runs one tool and returns its outcome. A failure is told to the model, never raised."""
        try:
            given = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            return ToolResult("error: the arguments are not JSON")
        if not isinstance(given, dict):
            return ToolResult("error: the arguments are not an object")
        if name == "hangup":
            return ToolResult("The call ends when you have been heard.", HangUp())
        if name == "transfer":
            try:
                destination = self.destinations.resolve(str(given.get("destination", "")))
            except NotAllowed as error:
                return ToolResult(f"error: {error}")
            return ToolResult("The caller is transferred when you have been heard.", Transfer(destination))
        for tool in self.tools:
            if tool.name == name:
                return ToolResult(await self._request(tool, given))
        return ToolResult(f"error: there is no tool {name!r}")

    async def _request(self, tool: HttpTool, arguments: dict[str, Any]) -> str:
        try:
            url = tool.address(self.variables)
        except ValueError as error:
            return f"error: {error}"
        headers = {name: fill(_environment(value), self.variables) for name, value in tool.headers.items()}
        query = {k: str(v) for k, v in arguments.items()} if tool.method == "GET" else None
        body = None if tool.method == "GET" else arguments
        try:
            async with (
                asyncio.timeout(tool.timeout_ms / 1000),
                # A redirect would take the headers' keys and the caller's data to another server.
                self.http.request(
                    tool.method, url, params=query, json=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                text = await _beginning(response)
        except TimeoutError:
            return f"error: no answer within {tool.timeout_ms} ms"
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a value unfit for a URL or header
            return f"error: {type(error).__name__}"
        return text if response.status < 300 else f"error: HTTP {response.status}: {text}"


def _specification(name: str, description: str, parameters: dict[str, Any]) -> dict[str, Any]:
    parameters = parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """Returns as much of the body as the model is shown."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) >= MAX_RESULT_CHARS * 4:
            break
    return body.decode(errors="replace")[:MAX_RESULT_CHARS]


def _before_the_path(url: str) -> str:
    return re.split(r"[/?#]", url.partition("://")[2])[0]


def _environment(text: str) -> str:
    return _ENVIRONMENT.sub(lambda match: os.environ.get(match.group(1), ""), text)
