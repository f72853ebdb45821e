"""Asterisk's side of one call: it connects, sends the caller's sound and keys, and ends as the plan says."""

from __future__ import annotations

import asyncio
from random import Random
from typing import cast
from uuid import UUID

from bridge.line.audiosocket import Decoder, Kind, encode
from bridge.line.connection import Connection
from bridge.line.server import AudioSocketServer
from tests.simulation.end import End
from tests.simulation.line_watch import LineWatch
from tests.simulation.network import Host
from tests.simulation.plan import CallPlan
from tests.simulation.virtual_loop import VirtualLoop

LEAVE_MS = 2.0
"""How long Asterisk takes to close after we have hung up."""


class Caller(asyncio.Protocol):
    """One call as Asterisk has it."""

    def __init__(self, loop: VirtualLoop, plan: CallPlan, seed: int, host: Host) -> None:
        self.plan = plan
        self.id = UUID(int=Random(f"{seed}/{plan.name}/uuid").getrandbits(128), version=4)
        self.host = host
        self.watch = LineWatch(loop.time)
        """What our side writes."""
        self.heard = bytearray()
        """All that has come."""
        self.frames: list[tuple[float, bytes]] = []
        """Every frame that has come whole, and when."""
        self.has_connected = False
        self.gone = False
        self.told_to_leave = False
        self.left = False
        """It was this side that ended the call first."""
        self.ended_s: float | None = None
        """When it was told to leave, or the connection was lost."""
        self.lost: Exception | None = None
        self.vanished_s: float | None = None
        self._loop = loop
        self._decoder = Decoder()
        self._timers: list[asyncio.TimerHandle] = []

    def connect(self, server: AudioSocketServer) -> None:
        """Connects to the server, as `AudioSocket()` of the dialplan does."""
        self.host.quality = self.plan.quality
        self.ours, theirs = self._loop.network.pair(self.host, self.plan.name)
        self.ours.on_write = self.watch.written
        self.watch.accepted()
        self.has_connected = True
        theirs.open(self)
        self.ours.open(Connection(server))

    def fall_silent(self) -> None:
        """Sends no sound any more."""
        self._sending.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.end = cast(End, transport)
        self._at(self.plan.uuid_after_s, self._begin)
        self._at(self.plan.lasts_s, self._leave)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        for message in self._decoder.feed(data):
            if message.kind == Kind.SLIN8:
                self.frames.append((self._loop.time(), message.payload))
            elif message.kind == Kind.HANGUP:
                self.told_to_leave, self.ended_s = True, self._loop.time()
                self._at(LEAVE_MS / 1000, self._close)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.gone = True
        self.lost = error
        self.ended_s = self._loop.time() if self.ended_s is None else self.ended_s
        for timer in self._timers:
            timer.cancel()

    def _at(self, after_s: float, do: object) -> None:
        self._timers.append(self._loop.call_later(after_s, do))  # type: ignore[arg-type]

    def _begin(self) -> None:
        self.end.write(encode(Kind.UUID, self.id.bytes))
        for saying in self.plan.sayings:
            if saying.digit:
                self._at(saying.at_s, lambda digit=saying.digit: self.end.write(encode(Kind.DTMF, digit.encode())))
        self._frame_bytes, self._sent_bytes = self.plan.frame_ms * 16, 0
        self._silence = encode(Kind.SLIN8, bytes(self._frame_bytes))
        self._next_s = self._loop.time()
        self._send()

    def _send(self) -> None:
        if self.end.is_closing():
            return
        sound = self.plan.sound[self._sent_bytes : self._sent_bytes + self._frame_bytes]
        self._sent_bytes += self._frame_bytes
        self.end.write(encode(Kind.SLIN8, sound.ljust(self._frame_bytes, b"\0")) if sound else self._silence)
        self._next_s += self.plan.frame_ms / 1000
        self._sending = self._loop.call_at(self._next_s, self._send)

    def _close(self) -> None:
        self.end.close()

    def _leave(self) -> None:
        """Ends the call on the caller's side."""
        self.left = True
        match self.plan.ending:
            case "hangs up":
                self.end.write(encode(Kind.HANGUP))
                self.end.close()
            case "closes":
                self.end.close()
            case "resets":
                self.end.reset()
            case "vanishes":  # nothing of it comes back, ever
                self.vanished_s = self._loop.time()
                self._loop.network.stall(self.host, 3_600.0)
