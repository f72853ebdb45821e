"""A listener on the wire between Asterisk and the server: passes everything on and keeps the messages of both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bridge.line.audiosocket import Decoder, Message


class Tap:
    """`port` is where Asterisk is to connect to."""

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.from_asterisk: list[Message] = []
        self.from_server: list[Message] = []
        self._server_port = server_port

    @classmethod
    @asynccontextmanager
    async def before(cls, server_port: int) -> AsyncIterator[Tap]:
        tap = cls(server_port)
        async with await asyncio.start_server(tap._connected, "127.0.0.1", 0) as listener:
            tap.port = listener.sockets[0].getsockname()[1]
            yield tap

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        async with asyncio.TaskGroup() as both:
            both.create_task(_pass_on(reader, server_writer, self.from_asterisk))
            both.create_task(_pass_on(server_reader, writer, self.from_server))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, messages: list[Message]) -> None:
    decoder = Decoder()
    with suppress(ConnectionError):  # an end that went by reset is passed on as a close like any other
        while data := await reader.read(65_536):
            messages += decoder.feed(data)
            writer.write(data)
    writer.close()
