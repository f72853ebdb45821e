"""Neighbours that the simulation's own calls do not need: tools, a web-hook's receiver, and replicas, all in memory."""

from __future__ import annotations

import asyncio
import re
from typing import Final, Literal, cast

from engine.link.server import LinkServer
from engine.speech import Engine
from tests.simulation.network import Address
from tests.simulation.virtual_loop import VirtualLoop

Ill = Literal["", "hangs", "slow", "dies", "fails", "garbles", "refuses", "redirects", "floods", "cuts off"]
TOOL: Final[Address] = ("10.0.0.5", 80)
RECEIVER: Final[Address] = ("10.0.0.6", 80)
LOOKUP: Final[Address] = ("10.0.0.7", 80)
SLOW_S: Final = 4.0
DIES_S: Final = 0.2
"""How long it has been at work when it dies."""
BACK_S: Final = 2.0
"""How long it takes to be started again then."""
FLOOD_BYTES: Final = 1_000_000
_LENGTH: Final = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class HttpNeighbour:
    """Answers each request with the same JSON, unless it is ill."""

    def __init__(self, loop: VirtualLoop, name: str, address: Address, answer: bytes = b"{}") -> None:
        self.loop = loop
        self.answer = answer
        self.ill: Ill = ""
        self.taken: list[bytes] = []
        """The body of every request that was answered as it should be."""
        self.host = loop.network.host(name, address)
        self.listen()

    def listen(self) -> None:
        """Takes connections, at the start and once it has been started again."""
        self.host.accept = lambda: HttpSession(self)

    def ill_for(self, body: bytes) -> Ill:
        """Returns how it is ill when it is asked this."""
        return self.ill

    def reply(self, body: bytes) -> tuple[bytes, bytes]:
        """Returns the status and the body of its answer when it is well."""
        return b"200 OK", self.answer


class HttpSession(asyncio.Protocol):
    """One connection to such a neighbour, one request after the other."""

    def __init__(self, service: HttpNeighbour) -> None:
        self._service = service
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if end and len(body) >= (int(length[1]) if length is not None else 0):
            self._data = b""
            later_s = {"slow": SLOW_S, "dies": DIES_S}.get(self._service.ill_for(body), 0.02)
            self._service.loop.call_later(later_s, self._reply, body)

    def _reply(self, body: bytes) -> None:
        service = self._service
        match service.ill_for(body):
            case "hangs":
                return
            case "dies":
                service.loop.network.kill(service.host)
                service.loop.call_later(BACK_S, service.listen)
            case "garbles":
                self._transport.write(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
            case "fails":
                self._send(b"500 Internal Server Error", b"out of order")
            case "refuses":
                self._send(b"403 Forbidden", b"no")
                self._transport.close()
            case "redirects":
                self._transport.write(b"HTTP/1.1 302 Found\r\nLocation: http://10.9.9.9/\r\nContent-Length: 0\r\n\r\n")
            case "floods":
                self._send(b"200 OK", b"x" * FLOOD_BYTES)
            case "cuts off":
                self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
                self._transport.close()
            case _:
                service.taken.append(body)
                self._send(*service.reply(body))

    def _send(self, status: bytes, body: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)
        )


class ReplicaNeighbour:
    """A replica of the engine at an address of the network in memory."""

    def __init__(self, loop: VirtualLoop, number: int, engine: Engine) -> None:
        self.address: Address = (f"10.0.2.{number}", 9_000)
        self.engine = engine
        self.server = LinkServer(engine)
        self.host = loop.network.host(f"replica{number}", self.address)
        self.listen()

    def listen(self) -> None:
        """Takes connections, at the start and once it has been started again."""
        self.host.accept = lambda: self.server.peer().connection

    def garble(self) -> None:
        """Sends what is none of the link's frames."""
        for end in self.host.ends:
            end.write(b"\xff" * 64)
