"""Starts a server of tools as a process and talks to it over its standard input and output, a message a line.

The package's own transport reads a line however long it is, and passes on as many as come.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import ErrorData, JSONRPCError, jsonrpc_message_adapter
from mcp_types.jsonrpc import INTERNAL_ERROR

from bridge.brains.mcp.lines import Lines, TooLong

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

READ_BYTES: Final = 4_096
REST_S: Final = 0.004
"""From one piece to the next, so that a server that writes without end leaves the event loop to others."""
CLOSE_S: Final = 1.0
"""How long a server has to end, first by itself and then when it is told to."""
_ID: Final = re.compile(rb'"id"\s*:\s*(\d{1,18})\b')


@asynccontextmanager
async def stdio_transport(command: Sequence[str], env: Mapping[str, str]) -> AsyncGenerator[TransportStreams]:
    """Runs the command for as long as the block lasts, in an environment without our keys. Raises OSError.

    What it writes to its standard error is dropped: callers' words may be in it.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**get_default_environment(), **env},
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        start_new_session=True,  # so that its children end with it
    )
    to_us, from_server = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    to_server, from_us = anyio.create_memory_object_stream[SessionMessage](0)

    async def read() -> None:
        assert process.stdout is not None
        lines = Lines()
        async with to_us:
            while data := await process.stdout.read(READ_BYTES):
                for line in lines.push(data):
                    if (message := _message(line)) is not None:
                        await to_us.send(message)
                await asyncio.sleep(REST_S)

    async def write() -> None:
        assert process.stdin is not None
        async with from_us:
            async for sent in from_us:
                text = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(text.encode() + b"\n")
                await process.stdin.drain()

    tasks = [asyncio.create_task(read()), asyncio.create_task(write())]
    try:
        yield from_server, to_server
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.shield(_end(process, tasks))
        for stream in (to_us, from_server, to_server, from_us):
            stream.close()


def _message(line: bytes | TooLong) -> SessionMessage | None:
    """Returns the message of a line; in place of one that is too long, an error for who waits for it."""
    if isinstance(line, TooLong):
        found = _ID.search(line.head)
        if found is None:
            return None
        error = ErrorData(code=INTERNAL_ERROR, message="the answer is too long")
        return SessionMessage(JSONRPCError(jsonrpc="2.0", id=int(found[1]), error=error))
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        return None  # something that a server prints beside its messages


async def _end(process: Process, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Ends the process and whatever it has started."""
    await asyncio.gather(*tasks, return_exceptions=True)
    if process.stdin is not None:
        process.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await process.wait()
                return
