"""All MCP servers that the tool file names."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from bridge.brains.mcp.connection import McpConnection
from bridge.brains.mcp.server_file import McpServerFile
from bridge.brains.mcp.tool import McpTool

START_S: Final = 5.0
"""How long the start of the process waits for the servers. One that comes later is there for the calls after that."""
CLOSE_S: Final = 4.0
"""How long the connections have to close: more than a process that has to be killed takes."""
CLOSE_TRIES: Final = 2


class McpServers:
    """The servers' connections. `start` and then `close` are called once each."""

    def __init__(self, files: Mapping[str, McpServerFile]) -> None:
        self.connections = [McpConnection(name, file) for name, file in files.items()]
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, timeout_s: float = START_S) -> None:
        """Connects them all, and waits a while for those that may come. A server that is away stops nothing."""
        self._tasks = [asyncio.create_task(connection.run()) for connection in self.connections]
        waits = [asyncio.create_task(connection.tried.wait()) for connection in self.connections]
        if waits:
            await asyncio.wait(waits, timeout=timeout_s)
        for wait in waits:
            wait.cancel()

    def tools(self) -> list[McpTool]:
        """Returns the tools that a call beginning now is offered."""
        return [tool for connection in self.connections for tool in connection.tools]

    async def close(self) -> None:
        """Closes all connections and ends the processes that were started."""
        for connection in self.connections:
            connection.close()
        pending = set(self._tasks)
        for _ in range(CLOSE_TRIES):
            for task in pending:
                task.cancel()
            if pending:
                _, pending = await asyncio.wait(pending, timeout=CLOSE_S)
