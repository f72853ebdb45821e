"""Keeps one MCP server connected: it lists the server's tools, calls them, and connects again when it is lost."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import AsyncExitStack
from typing import Any, Final, cast

import httpx2
import structlog
from mcp import Client, ClientSession, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    ListToolsRequest,
    ListToolsResult,
    PaginatedRequestParams,
    RequestParamsMeta,
    Tool,
)
from mcp_types.jsonrpc import CONNECTION_CLOSED

from bridge.brains.bounded_http import IDENTITY, MAX_EVENT_BYTES, bounded
from bridge.brains.http_tool import environment
from bridge.brains.mcp.bounded import bounded_transport
from bridge.brains.mcp.server_file import McpServerFile, McpToolOptions
from bridge.brains.mcp.stdio import stdio_transport
from bridge.brains.mcp.tool import McpTool, ServerAway
from bridge.brains.messages import whole

log = structlog.get_logger(__name__)

CONNECT_S: Final = 10.0
"""How long a server has to greet and to list its tools."""
REFRESH_S: Final = 30.0
"""The time between two lists. A server that gives none is taken for lost."""
RETRY_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""The waits between attempts to connect."""
STEADY_S: Final = 10.0
"""A connection that lasts so long makes the next wait a short one."""
MAX_TOOLS: Final = 64
MAX_PAGES: Final = 8
MAX_LIST_CHARS: Final = 32_000
"""How long the descriptions of one server's tools may be together: the model is sent them with every question."""
ABANDONED_S: Final = 5.0
"""How much longer than for an answer that is waited for a request is kept open. The package leaves it open for ever:
a tool that hangs would keep one connection for each call of it, until none is left for the others."""
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What models' services take for a name."""


class McpConnection:
    """One server, which all calls of the process share. `run` is a task for as long as the process serves."""

    def __init__(self, name: str, file: McpServerFile) -> None:
        self.name = name
        self.tools: list[McpTool] = []
        """As they were listed last; they stay when the server is lost, and answer that it is away."""
        self.listed = asyncio.Event()
        """Set while the server is connected and its tools are known."""
        self.tried = asyncio.Event()
        """Set once it is known whether the server could be reached."""
        self.problem = ""
        """Why it is not connected; empty while it is."""
        self._file = file
        self._session: ClientSession | None = None
        self._lost = asyncio.Event()
        self._is_closing = False

    def close(self) -> None:
        """Has `run` end when it is cancelled: the package may take a cancellation for one of its own."""
        self._is_closing = True

    async def run(self) -> None:
        """Connects, and connects again, until it is cancelled. Nothing that a server does ends it."""
        failures = 0
        while not self._is_closing:
            began_s = time.monotonic()
            try:
                async with AsyncExitStack() as stack:
                    async with asyncio.timeout(CONNECT_S):
                        client = await self._connect(stack)
                        await self._list(client.session)
                    await self._stay(client.session)
            except Exception as error:
                self._away(_reason(error))
            if self._is_closing:
                return
            failures = 1 if time.monotonic() - began_s > STEADY_S else failures + 1
            await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S)) - 1])

    async def call(self, name: str, arguments: dict[str, Any], meta: dict[str, Any]) -> CallToolResult:
        """Calls a tool of the server. Raises ServerAway, MCPError and whatever else the package raises.

        The package's own `call_tool` would check the answer by a schema of the server's, on the event loop.
        """
        session = self._session
        if session is None:
            raise ServerAway
        params = CallToolRequestParams(name=name, arguments=arguments, _meta=cast(RequestParamsMeta, meta))
        try:
            return await session.send_request(CallToolRequest(params=params), CallToolResult)
        except MCPError as error:
            if error.code == CONNECTION_CLOSED and self._session is session:
                self._disconnected()
            raise

    async def _connect(self, stack: AsyncExitStack) -> Client:
        file = self._file
        if file.command:
            env = {name: environment(value) for name, value in file.env.items()}
            transport: Any = stdio_transport(file.command, env)
        else:
            headers = IDENTITY | {name: environment(value) for name, value in file.headers.items()}
            options = bounded()
            options["event_hooks"]["request"] = [self._end_in_time]
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=None, **options))
            url = environment(file.url)
            transport = streamable_http_client(url, http_client=http, max_sse_event_size=MAX_EVENT_BYTES)
        who = Implementation(name="talkspurt", version="1")
        return await stack.enter_async_context(Client(bounded_transport(transport), client_info=who, cache=None))

    async def _end_in_time(self, request: httpx2.Request) -> None:
        """Has a request fail that nobody waits for any more. What a server may say unasked is waited for for ever."""
        if request.method == "POST":
            tools_ms = (options.timeout_ms or 0 for options in self._file.tools.values())
            longest_s = max(CONNECT_S, max(self._file.timeout_ms, *tools_ms, 0) / 1000)
            request.extensions["timeout"] = httpx2.Timeout(None, read=longest_s + ABANDONED_S).as_dict()

    async def _stay(self, session: ClientSession) -> None:
        """Returns when the server is lost; raises what a list raises."""
        self._lost.clear()
        self._session, self.problem = session, ""
        self.listed.set()
        self.tried.set()
        log.info("tool server connected", server=self.name, tools=[tool.name for tool in self.tools])
        while True:
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._lost.wait()
                self._away("the connection was closed")
                return
            except TimeoutError:
                async with asyncio.timeout(CONNECT_S):
                    await self._list(session)

    async def _list(self, session: ClientSession) -> None:
        listed: list[Tool] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            request = ListToolsRequest(params=PaginatedRequestParams(cursor=cursor))
            page = await session.send_request(request, ListToolsResult)
            listed += page.tools
            cursor = page.next_cursor
            if not cursor:
                break
        self.tools = self._offered(listed)

    def _offered(self, listed: list[Tool]) -> list[McpTool]:
        """Returns those tools that the file wants and the model can be told of."""
        offered: list[McpTool] = []
        left_out: list[str] = []
        chars = 0
        for tool in listed:
            if self._file.tools and tool.name not in self._file.tools:
                continue
            chars += len(tool.description or "") + len(json.dumps(tool.input_schema))
            if not _NAME.fullmatch(tool.name) or chars > MAX_LIST_CHARS or len(offered) == MAX_TOOLS:
                left_out.append(tool.name[:64])
                continue
            offered.append(self._tool(tool))
        missing = set(self._file.tools) - {tool.name for tool in listed}
        if left_out or missing:
            log.warning("tools cannot be offered", server=self.name, left_out=left_out, not_listed=sorted(missing))
        return offered

    def _tool(self, tool: Tool) -> McpTool:
        file, options = self._file, self._file.tools.get(tool.name, McpToolOptions())
        only_reads = tool.annotations is not None and tool.annotations.read_only_hint is True
        on_interrupt = options.on_interrupt or file.on_interrupt or ("cancel" if only_reads else "finish")
        return McpTool(
            name=tool.name,
            description=whole(tool.description) or tool.name,
            parameters=tool.input_schema,
            say=file.say if options.say is None else options.say,
            finishes=on_interrupt == "finish",
            timeout_ms=options.timeout_ms or file.timeout_ms,
            only_reads=only_reads,
            server=self,
        )

    def _disconnected(self) -> None:
        self._session = None
        self.listed.clear()
        self._lost.set()

    def _away(self, reason: str) -> None:
        """Notes why the server is lost, and logs it once."""
        self._disconnected()
        if self.problem != reason:
            log.warning("tool server is away: it is tried again", server=self.name, reason=reason)
        self.problem = reason
        self.tried.set()


def _reason(error: BaseException) -> str:
    """Returns what went wrong, in no words of the server."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return f"no list of tools within {CONNECT_S:g} s"
    reason = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__
