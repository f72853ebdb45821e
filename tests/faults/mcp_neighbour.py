"""A server of tools that speaks the Model Context Protocol over HTTP, in memory; it is ill when a tool is called."""

from __future__ import annotations

import json
from typing import Any, Final

from mcp_types.jsonrpc import METHOD_NOT_FOUND

import bridge.brains.mcp.connection  # noqa: F401  (it is imported before the clock is a virtual one)
from tests.faults.neighbours import HttpNeighbour, Ill
from tests.simulation.model import TOOL
from tests.simulation.network import Address
from tests.simulation.virtual_loop import VirtualLoop

MCP: Final[Address] = ("10.0.0.8", 80)
_INFO: Final = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "parcels", "version": "1"},
}
_TOOL: Final = {"name": TOOL, "description": "Tells where the caller's parcel is.", "inputSchema": {"type": "object"}}
_DONE: Final = {"content": [{"type": "text", "text": "on its way"}], "isError": False}


class McpNeighbour(HttpNeighbour):
    """Greets, lists its one tool, and answers calls of it, by the protocol's revision of 2025 and without sessions."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__(loop, "mcp", MCP)

    def ill_for(self, body: bytes) -> Ill:
        return self.ill if b'"tools/call"' in body else ""

    def reply(self, body: bytes) -> tuple[bytes, bytes]:
        message = json.loads(body)
        if "id" not in message:
            return b"202 Accepted", b""
        answer = {"jsonrpc": "2.0", "id": message["id"], **_answer(message["method"])}
        return b"200 OK", json.dumps(answer).encode()


def _answer(method: str) -> dict[str, Any]:
    match method:
        case "initialize":
            return {"result": _INFO}
        case "tools/list":
            return {"result": {"tools": [_TOOL]}}
        case "tools/call":
            return {"result": _DONE}
        case _:
            return {"error": {"code": METHOD_NOT_FOUND, "message": "this is a server of 2025"}}
