"""The server and its tools. `python -m tests.support.mcp_server.tools` serves them on standard input and output."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ToolAnnotations


class Shop:
    """What the tools do, and what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any, str | None]] = []
        """Tool, arguments and idempotency key of each call."""
        self.at_work = asyncio.Semaphore(0)
        """Is released by each call."""
        self.go_on = asyncio.Event()
        self.done = 0
        self.cancelled = asyncio.Event()

    def server(self) -> MCPServer:
        server = MCPServer("shop", log_level="CRITICAL")

        def note(context: Context[Any], name: str, arguments: Any) -> None:
            meta = context.request_context.meta or {}
            self.asked.append((name, arguments, meta.get("Idempotency-Key")))
            self.at_work.release()

        @server.tool(description="When the shop is open.", annotations=ToolAnnotations(read_only_hint=True))
        async def opening_hours(day: str, context: Context[Any]) -> str:
            note(context, "opening_hours", day)
            return f"{day}: nine to five"

        @server.tool(description="Books a table.")
        async def book(people: int, context: Context[Any]) -> str:
            note(context, "book", people)
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            self.done += 1
            return f"booked for {people}"

        @server.tool()
        async def fail() -> str:
            raise RuntimeError("the printer is on fire")

        @server.tool()
        async def huge(megabytes: int) -> str:
            return "x" * (megabytes << 20)

        @server.tool()
        async def long() -> str:
            return "y" * 100_000

        @server.tool()
        async def die() -> str:
            os._exit(1)

        @server.tool()
        async def secret() -> str:
            return f"{os.environ.get('SHOP_KEY')} {os.environ.get('LLM_API_KEY')}"

        @server.tool(name="hangup")
        async def hangup() -> str:
            return "no"

        return server


if __name__ == "__main__":
    shop = Shop()
    shop.go_on.set()
    shop.server().run("stdio")
