"""Stand-ins that tests drive: an engine whose sound is known, and Asterisk's side of an AudioSocket."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from uuid import UUID, uuid4

import numpy as np

from bridge.line.audiosocket import Decoder, Kind, Message, encode
from bridge.line.call import Call, CallObserver
from engine.speech import Engine, EngineBusy, SpeechError, UnknownVoice, UnspeakableText, Voice
from engine.status import EngineStatus

LEVEL = 8_000
"""Every sample of the fake engine's speech."""
LETTER_SAMPLES = 2_400
"""Its pace at 24 kHz: 100 ms a letter, so that a test knows how long a text lasts."""


class FakeEngine(Engine):
    """Speaks a constant, 100 ms a character; can be held back (`gate`) or broken (`broken`)."""

    name = "fake"
    sample_rate_hz = 24_000

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken = False
        self.unspeakable = ()
        """Sentences it has no sounds for."""
        self.busy = 0
        """So many sentences are refused for want of room."""
        self.spoken = []
        self.streams = 0
        """Streams open now."""

    async def start(self):
        pass

    async def close(self):
        pass

    async def stream(self, sentence, style):
        if self.busy:
            self.busy -= 1
            raise EngineBusy("the fake engine is busy")
        if sentence in self.unspeakable:
            raise UnspeakableText(sentence)
        self.streams += 1
        try:
            self.spoken.append((sentence, style.voice))
            await self.gate.wait()
            if self.broken:
                raise SpeechError("the fake engine is broken")
            for _ in sentence.strip():
                yield np.full(LETTER_SAMPLES * self.rate_hz(style) // self.sample_rate_hz, LEVEL, np.int16)
        finally:
            self.streams -= 1

    def voices(self):
        return [Voice("one", "One", ("*",)), Voice("two", "Two", ("*",))]

    def resolve_voice(self, name):
        if name not in ("", "one", "two"):
            raise UnknownVoice(name, ["one", "two"])
        return name or "one"

    def deterministic(self, style):
        return True

    def status(self):
        return EngineStatus("fake", "fake", model_loaded=True, queue_depth=0)


class NoWire:
    """A connection that takes every frame and of which nobody reads."""

    def send(self, pcm: bytes, rate_hz: int) -> None:
        pass

    def take_back(self) -> int:
        return 0

    def hang_up(self) -> None:
        pass


class CallEnd(CallObserver):
    """Waits for a call's end."""

    def __init__(self, call: Call) -> None:
        self._ended = asyncio.Event()
        if call.ended_at is not None:
            self._ended.set()
        call.observe(self)

    def call_ended(self, call: Call) -> None:
        self._ended.set()

    async def wait(self) -> None:
        await asyncio.wait_for(self._ended.wait(), 30)


class Asterisk:
    """The peer of our server: connects as `AudioSocket()` does and keeps what it is sent."""

    def __init__(self, reader, writer, call_id):
        self.reader, self.writer, self.id = reader, writer, call_id
        self._decoder = Decoder()
        self._messages: list[Message] = []

    @classmethod
    async def connect(cls, port: int, call_id: UUID | None = None, *, say_uuid: bool = True) -> Asterisk:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        peer = cls(reader, writer, call_id or uuid4())
        if say_uuid:
            peer.send(Kind.UUID, peer.id.bytes)
        return peer

    def send(self, kind: int, payload: bytes = b"") -> None:
        self.writer.write(encode(kind, payload))

    def send_audio(self, kind: int = Kind.SLIN8, frames: int = 1) -> None:
        for _ in range(frames):
            self.send(kind, bytes(320 if kind == Kind.SLIN8 else 640))

    async def receive(self) -> Message | None:
        """The next message; None at EOF. Raises ConnectionResetError on a reset."""
        while not self._messages:
            async with asyncio.timeout(30):  # Python 3.11's `wait_for` loses a cancel that comes with the data
                data = await self.reader.read(65_536)
            if not data:
                assert not self._decoder.mid_message, "the server closed inside a message"
                return None
            self._messages += self._decoder.feed(data)
        return self._messages.pop(0)

    async def hear(self, *, voiced: bool) -> Message:
        """The next frame that has sound, or has none."""
        while True:
            message = await self.receive()
            assert message is not None, "the server ended the call"
            if message.kind >= Kind.SLIN8 and any(message.payload) is voiced:
                return message

    async def until(self, is_so: Callable[[], object]) -> None:
        """Listens to the call until something is so."""
        async with asyncio.timeout(30):
            while not is_so():
                assert await self.receive() is not None, "the server ended the call"

    async def drain(self) -> list[Message]:
        """Everything up to EOF."""
        messages = []
        while (message := await self.receive()) is not None:
            messages.append(message)
        return messages

    async def close(self) -> None:
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)

    def reset(self) -> None:
        """Close with a TCP reset; nothing where the server has closed already."""
        import socket

        if self.writer.transport.is_closing():
            return
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
