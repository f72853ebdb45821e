"""What may stand between Asterisk and the server: a network that can go away, and Asterisk 18 and 20 where they differ.

No package gives those two, so `OldAsterisk` is a stand-in. It was written after their `res_audiosocket.c`,
`app_audiosocket.c` and `chan_audiosocket.c`, and does to the real Asterisk behind it what they do to a call:

- The end of the connection is taken for an empty frame. The application then reads that for ever, and the caller, who
  is never read again, stays in silence. The channel is written to as well: the next frame of the caller is answered by
  a reset, which ends it.
- The server's hang-up is an error for the application (`TRYSTATUS` is FAILED), and ends the channel.
- Messages other than 8 kHz sound are passed over, and keys are not sent.

What it does not show: the processor time that the old application burns, and that it has no limit of 2 s without sound.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import Self

from bridge.line.audiosocket import Decoder, Kind, encode

_RESET = struct.pack("ii", 1, 0)


class Relay:
    """A network between Asterisk, which connects to `port`, and a server. Once `gone`, nothing passes or ends."""

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.gone = False
        self._server_port = server_port
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def before(cls, server_port: int) -> AsyncIterator[Self]:
        relay = cls(server_port)
        async with relay.listening():
            yield relay

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(self._connected(reader, writer))
            self._tasks.add(task)

        listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
        self.port = listener.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listener.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.gone:
            await asyncio.Event().wait()
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            reset(writer)
            return
        with suppress(ConnectionError):
            async with asyncio.TaskGroup() as both:
                both.create_task(self.to_server(reader, server_writer, writer))
                both.create_task(self.to_asterisk(server_reader, writer, server_writer))

    async def to_server(
        self, asterisk: asyncio.StreamReader, server: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        await self._pass_on(asterisk, server)

    async def to_asterisk(
        self, server: asyncio.StreamReader, asterisk: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        await self._pass_on(server, asterisk)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):  # an end that went by reset is passed on as a close like any other
            while data := await reader.read(65_536):
                if self.gone:
                    await asyncio.Event().wait()
                writer.write(data)
        if self.gone:
            await asyncio.Event().wait()
        writer.close()


class Form(Enum):
    """By which way a call goes to the server."""

    APPLICATION = "application"
    DIAL = "Dial"
    WIDEBAND = "Dial, wideband"
    WEBSOCKET = "WebSocket"


class OldAsterisk(Relay):
    """The stand-in for Asterisk 18 and 20."""

    def __init__(self, server_port: int, form: Form) -> None:
        super().__init__(server_port)
        self._form = form
        self._ended = False

    async def to_server(
        self, asterisk: asyncio.StreamReader, server: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        decoder = Decoder()
        while data := await asterisk.read(65_536):
            if self.gone:
                await asyncio.Event().wait()
            if self._ended and self._form is Form.APPLICATION:
                continue
            if self._ended:
                reset(back)
                return
            for kind, payload in decoder.feed(data):
                if kind != Kind.DTMF:
                    server.write(encode(kind, payload))
        server.close()

    async def to_asterisk(
        self, server: asyncio.StreamReader, asterisk: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        decoder = Decoder()
        try:
            while data := await server.read(65_536):
                if self.gone:
                    await asyncio.Event().wait()
                for kind, payload in decoder.feed(data):
                    if kind == Kind.HANGUP:
                        reset(asterisk)
                        return
                    if kind == Kind.SLIN8 and payload:
                        asterisk.write(encode(kind, payload))
        except ConnectionError:
            reset(asterisk)
            return
        self._ended = True


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection so that its other side's next read fails."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
