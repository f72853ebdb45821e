"""Has this process ask a language model once before a caller does.

The client's libraries load parts of themselves, and build what they check answers by, when they are first used. In the
first answer of a process that held the event loop, and with it the clock of all calls, for 60 to 90 ms.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import aclosing
from typing import Any, Final

import structlog

from bridge.brains.llm_client import make_llm_client
from bridge.brains.model import Model, ModelError, ModelOptions

log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 5.0
_TOOL: Final[dict[str, Any]] = {"type": "function", "function": {"name": "none", "parameters": {"type": "object"}}}
_CALL: Final = {"index": 0, "id": "1", "function": {"name": "none", "arguments": "{}"}}
_DELTAS: Final[tuple[dict[str, Any], ...]] = ({"content": "Yes. "}, {"tool_calls": [_CALL]})


async def rehearse() -> None:
    """Asks a model that is played here, on loopback, and reads its answer to the end. Never raises.

    In a thread, for it holds whatever runs beside it.
    """
    try:
        await asyncio.to_thread(asyncio.run, _ask())
    except (OSError, ModelError) as error:
        log.warning("the first answer of a language model will be late", error=str(error))


async def _ask() -> None:
    async with await asyncio.start_server(_answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        model = Model(make_llm_client(f"http://127.0.0.1:{port}/v1", "none"), ModelOptions("rehearsal"))
        until_s = asyncio.get_running_loop().time() + TIMEOUT_S
        try:
            async with aclosing(
                model.answer([{"role": "user", "content": "Are you there?"}], [_TOOL], until_s)
            ) as parts:
                async for _ in parts:
                    pass
        finally:
            await model.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Plays the model: a word and a call of a tool, whatever it is asked."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    await reader.readexactly(int(length[1]) if length is not None else 0)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
    for delta in _DELTAS:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "rehearsal", "choices": [choice]}
        writer.write(f"data: {json.dumps(chunk)}\n\n".encode())
    writer.write(b"data: [DONE]\n\n")
    await writer.drain()
    writer.close()
