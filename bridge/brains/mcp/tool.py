"""A tool of an MCP server, in the form in which the model's other tools are called."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from mcp import MCPError
from mcp_types import CallToolResult, EmbeddedResource, TextContent, TextResourceContents
from mcp_types.jsonrpc import INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND

from bridge.brains.http_tool import IDEMPOTENCY_KEY, MAX_RESULT_CHARS
from bridge.brains.messages import whole
from bridge.brains.tool_result import ToolResult

if TYPE_CHECKING:
    from bridge.brains.mcp.connection import McpConnection

NOT_DONE: Final = frozenset({INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS})
"""Errors by which a server tells that it has done nothing."""


class ServerAway(Exception):
    """The server is not connected, so that nothing was sent."""


@dataclass(frozen=True, slots=True)
class McpTool:
    """One tool, as the server listed it and the file wants it used."""

    name: str
    description: str
    parameters: dict[str, Any]
    say: str
    finishes: bool
    timeout_ms: int
    only_reads: bool
    """True if the server says that the tool changes nothing."""
    server: McpConnection

    async def call(
        self, http: aiohttp.ClientSession, variables: Mapping[str, str], arguments: dict[str, Any], key: str
    ) -> ToolResult:
        """Calls it once and returns its outcome. A failure is told to the model, never raised."""
        try:
            async with asyncio.timeout(self.timeout_ms / 1000):
                result = await self.server.call(self.name, arguments, {IDEMPOTENCY_KEY: key})
        except ServerAway:
            return ToolResult("error: the server of this tool is away")
        except TimeoutError:
            return self._unanswered(f"no answer within {self.timeout_ms} ms")
        except MCPError as error:
            reason = whole(error.message)[:MAX_RESULT_CHARS]
            return ToolResult(f"error: {reason}") if error.code in NOT_DONE else self._unanswered(reason)
        except Exception as error:  # the package raises its own errors, its transports' and those of wrong answers
            return self._unanswered(type(error).__name__)
        text = _text(result)
        return ToolResult(f"error: {text}" if result.is_error else text)

    def _unanswered(self, reason: str) -> ToolResult:
        caution = "" if self.only_reads else "; it may have been done all the same"
        return ToolResult(f"error: {reason}{caution}", is_certain=False)


def _text(result: CallToolResult) -> str:
    """Returns what the model is shown of an answer: its texts, or else its data."""
    texts = []
    for part in result.content:
        if isinstance(part, TextContent):
            texts.append(part.text)
        elif isinstance(part, EmbeddedResource) and isinstance(part.resource, TextResourceContents):
            texts.append(part.resource.text)
        else:
            texts.append(f"({part.type})")
    if not texts and result.structured_content is not None:
        texts.append(json.dumps(result.structured_content, ensure_ascii=False))
    return whole("\n".join(texts)[:MAX_RESULT_CHARS])
