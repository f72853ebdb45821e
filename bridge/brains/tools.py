"""The tools of a language model: it may transfer, hang up, and call the tools that a YAML file names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import uuid4

import aiohttp
import structlog
from pydantic import BaseModel, ConfigDict, Field

from bridge.brains.agent_tools import AGENT_TOOLS, AgentTools
from bridge.brains.brain import HangUp, Transfer, fill
from bridge.brains.destinations import Destinations, NotAllowed
from bridge.brains.http_tool import HttpTool
from bridge.brains.line_states import LineStates
from bridge.brains.mcp.server_file import McpServerFile
from bridge.brains.tool import Tool
from bridge.brains.tool_result import ToolResult
from bridge.brains.yaml_file import read_yaml

log = structlog.get_logger(__name__)

MAX_BRIEF_CHARS: Final = 500
_BRIEF: Final = {
    "reason": "what the call is about, in at most five words",
    "summary": "what the colleague has to know before the call is theirs, in two or three spoken sentences: who calls, "
    "what for, and what has been said so far",
}
"""What a model tells of the call, by the names in `Transfer`."""
OURS: Final = ("transfer", "hangup", *AGENT_TOOLS)


class _ToolFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tools: list[HttpTool] = []
    mcp: dict[Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")], McpServerFile] = {}


UNKNOWN: Final = "unknown"
"""What a tool is called that there is not."""


def load_tools(path: Path) -> list[HttpTool]:
    """Returns the tools of a YAML file. Raises ValueError.

    `${NAME}` in headers and URLs stands for the environment's variable NAME, read at each request.
    """
    tools = read_yaml(path, _ToolFile).tools
    names = [tool.name for tool in tools]
    for name in names:
        if name in OURS or names.count(name) > 1:
            raise ValueError(f"{path}: the tool name {name!r} is taken")
    return tools


def load_tool_servers(path: Path) -> dict[str, McpServerFile]:
    """Returns the MCP servers of a YAML file, by name. Raises ValueError."""
    return read_yaml(path, _ToolFile).mcp


def with_distinct_names(tools: Iterable[Tool]) -> list[Tool]:
    """Returns the tools without those whose name is taken: a server may list whatever it likes, at any time."""
    named: dict[str, Tool] = {}
    for tool in tools:
        if tool.name in OURS or tool.name in named:
            log.warning("a tool's name is taken, so that it is not offered", tool=tool.name)
        else:
            named[tool.name] = tool
    return list(named.values())


@dataclass(slots=True)
class Toolbox:
    """The tools of one call."""

    http: aiohttp.ClientSession
    tools: Sequence[Tool]
    destinations: Destinations
    variables: Mapping[str, str] = field(default_factory=dict)
    agent_tools: AgentTools = field(default_factory=AgentTools)
    observe: Callable[[str, str, ToolResult, int], None] | None = None
    """Is told of each tool that has answered: its name, its arguments, what came of it, and how many ms it took."""
    line_states: LineStates = field(default_factory=LineStates)
    """How those are to whom the call may be sent; all of the call's agents share it, because it knows its age."""
    _keys: dict[tuple[str, str], str] = field(default_factory=dict)
    """The idempotency key of each request, by tool and arguments, of which it is not certain what it did."""

    def specifications(self) -> list[dict[str, Any]]:
        """Returns the tools in the form in which OpenAI's API describes them."""
        specifications = [_specification("hangup", "End the call, after what you have said has been heard.", {})]
        if self.destinations:
            destination: dict[str, Any] = {
                "type": "string",
                "description": self.destinations.describe() + self.line_states.describe(self.destinations),
            }
            if not self.destinations.patterns:
                destination["enum"] = sorted(self.destinations.names)
            properties = {"destination": destination}
            if self.destinations.warm:
                properties |= {name: {"type": "string", "description": what} for name, what in _BRIEF.items()}
            parameters = {"type": "object", "properties": properties, "required": ["destination"]}
            what = "Transfer the caller, after what you have said has been heard. Say that you do it."
            specifications.append(_specification("transfer", what, parameters))
        for name, (what, parameters) in self.agent_tools.parameters().items():
            specifications.append(_specification(name, what, parameters))
        return specifications + [_specification(tool.name, tool.description, tool.parameters) for tool in self.tools]

    def known(self, name: str) -> str:
        """Returns the name of a tool, or `unknown`: a model may make up a name of what the caller said."""
        return name if name in OURS or self._find(name) is not None else UNKNOWN

    def finishes(self, name: str) -> bool:
        """Tells whether a call of this tool goes on when the turn is cut."""
        tool = self._find(name)
        return tool is not None and tool.finishes

    def line(self, name: str) -> str:
        """Returns what the caller is told while this tool is at work; empty for nothing."""
        tool = self._find(name)
        return fill(tool.say, self.variables) if tool is not None else ""

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
            if why_not := self.line_states.why_not(destination):
                return ToolResult(
                    f"error: nobody there would take the call: {why_not}. Say so, and offer something else."
                )
            transfer = Transfer(destination, *(str(given.get(name, ""))[:MAX_BRIEF_CHARS] for name in _BRIEF))
            return ToolResult("The caller is transferred when you have been heard.", transfer)
        if (result := self.agent_tools.call(name, given)) is not None:
            return result
        tool = self._find(name)
        if tool is None:
            return ToolResult(f"error: there is no tool {name!r}")
        # A model that asks again because there was no answer means the same booking, and the key says so. Once it is
        # certain what came of it, the same words mean another one.
        asked = (name, json.dumps(given, sort_keys=True))
        key = self._keys.setdefault(asked, uuid4().hex)
        result = await tool.call(self.http, self.variables, given, key)
        if result.is_certain:
            self._keys.pop(asked, None)
        return result

    def _find(self, name: str) -> Tool | None:
        return next((tool for tool in self.tools if tool.name == name), None)


def _specification(name: str, description: str, parameters: dict[str, Any]) -> dict[str, Any]:
    parameters = parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}
