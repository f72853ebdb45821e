"""A call against scripted servers on real sockets, and how it ends."""

import asyncio
import contextlib
import socket
import struct
import time
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import numpy as np
import pytest
import uvloop

from bridge.dial.caller import Caller, CannotCall, Close
from bridge.dial.conformance import faults
from bridge.dial.report import PlacedCall
from bridge.line.audiosocket import Decoder, Kind, encode

SILENCE = encode(Kind.SLIN8, bytes(320))
LOUD = encode(Kind.SLIN8, np.full(160, 8_000, "<i2").tobytes())
HANGUP = encode(Kind.HANGUP)
OF_TIME = (
    "does not send silence", "sends bursts", "does not keep sending", "slower than real time", "faster than real time",
    "sends messages in parts",
)  # fmt: skip
"""A script breaks these rules too where the machine is busy; test_conformance.py tests them on made-up times."""


class Peer:
    """The server's end of one call."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.messages = []

    async def read_messages(self, count):
        """Waits until `count` messages have come."""
        decoder = Decoder()
        while len(self.messages) < count:
            self.messages += decoder.feed(await self.reader.read(4096))

    async def send(self, *frames):
        """Sends these frames, 20 ms apart."""
        for frame in frames:
            self.writer.write(frame)
            await asyncio.sleep(0.020)

    async def read_to_the_end(self):
        await self.reader.read(-1)

    def reset(self):
        """Closes the connection so that the other side gets a reset."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@asynccontextmanager
async def server(script):
    """Runs a server that runs `script(peer)` on each call; yields its port."""
    failures = []

    async def serve(reader, writer):
        try:
            await script(Peer(reader, writer))
        except Exception as error:
            failures.append(error)
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    assert not failures


async def call(script, *, keep_audio=False, **arguments):
    """Calls a server that ends the call by itself, and returns the caller afterwards."""
    async with server(script) as port:
        caller = Caller(keep_audio=keep_audio, **arguments)
        await caller.connect("127.0.0.1", port)
        await asyncio.wait_for(caller.ended.wait(), 30)
        return caller


def rules(caller):
    """Returns the rules that the server broke, without those about time."""
    return [fault.rule for fault in faults(caller) if not fault.rule.startswith(OF_TIME)]


async def hang_up_well(peer):
    peer.writer.write(HANGUP)
    await peer.read_to_the_end()


async def test_the_uuid_comes_first_and_then_a_frame_every_20_ms():
    came = []

    async def script(peer):
        await peer.read_messages(6)
        came.extend(peer.messages)
        await hang_up_well(peer)

    call_id = uuid4()
    caller = await call(script, call_id=call_id, rate_hz=16_000)
    assert came[0].kind == Kind.UUID
    assert UUID(bytes=came[0].payload) == call_id
    assert [(message.kind, len(message.payload)) for message in came[1:6]] == [(Kind.SLIN16, 640)] * 5
    assert caller.hung_up_s - caller.first_sent_s >= 4 * 0.020


async def test_what_the_caller_says_and_presses_arrives():
    came = []

    async def script(peer):
        await peer.read_messages(8)
        came.extend(peer.messages)
        await hang_up_well(peer)

    async with server(script) as port:
        caller = Caller()
        caller.handset.press("7")
        caller.handset.speak(b"\x01" * 320)
        await caller.connect("127.0.0.1", port)
        await caller.ended.wait()
    assert came[1] == (Kind.DTMF, b"7")
    assert came[2] == (Kind.SLIN8, b"\x01" * 320)


async def test_a_server_that_conforms_has_no_faults():
    async def script(peer):
        await peer.send(SILENCE, SILENCE, *[LOUD] * 10)
        await hang_up_well(peer)

    caller = await call(script)
    assert rules(caller) == []
    assert (caller.by_server, caller.close) == (True, Close.EOF)
    assert len(caller.received) == 12
    assert caller.received.voiced.tolist() == [False] * 2 + [True] * 10


async def test_arrivals_are_timed_by_the_kernel_although_the_reader_comes_late():
    """The last frame lies unread while the loop is kept busy; its time is that of its arrival."""
    sent = asyncio.Event()

    async def script(peer):
        await peer.send(*[SILENCE] * 5)  # in which the kernel turns its stamps on
        peer.writer.write(SILENCE)
        sent.set()
        await peer.read_to_the_end()

    async with server(script) as port:
        caller = Caller()
        await caller.connect("127.0.0.1", port)
        await sent.wait()
        sent_s = time.monotonic()
        while time.monotonic() - sent_s < 0.030:
            pass
        caller.hang_up()
        await caller.ended.wait()
    if caller.unstamped == 6:
        pytest.skip("this kernel does not stamp TCP segments")
    assert caller.unstamped < 5
    assert len(caller.received) == 6
    assert caller.received.arrivals_s[-1] - sent_s < 0.015


async def test_hanging_up_waits_for_the_server_to_close():
    async def script(peer):
        await peer.send(LOUD, LOUD)
        await peer.read_to_the_end()

    async with server(script) as port:
        caller = Caller()
        await caller.connect("127.0.0.1", port)
        await caller.voice(0.0)
        caller.hang_up()
        caller.hang_up()
        await caller.ended.wait()
    assert (caller.by_server, caller.close) == (False, Close.EOF)
    assert caller.closed_s >= caller.hung_up_s
    assert rules(caller) == []


async def test_a_server_that_does_not_close_is_left_after_a_second(monkeypatch):
    monkeypatch.setattr("bridge.dial.caller.CLOSE_TIMEOUT_S", 0.05)
    caller_gone = asyncio.Event()

    async def script(peer):
        await peer.send(LOUD)
        await caller_gone.wait()

    async with server(script) as port:
        caller = Caller()
        await caller.connect("127.0.0.1", port)
        await caller.voice(0.0)
        caller.hang_up()
        await caller.ended.wait()
        caller_gone.set()
    assert caller.close is Close.OPEN
    assert rules(caller) == ["leaves its side open"]


async def test_a_server_that_sends_without_end_keeps_nobody_from_hanging_up():
    flooding = asyncio.Event()

    async def script(peer):
        with contextlib.suppress(ConnectionError):
            while True:
                peer.writer.write(LOUD * 100)
                flooding.set()
                await peer.writer.drain()

    async with server(script) as port:
        caller = Caller()
        await caller.connect("127.0.0.1", port)
        caller._read_frame = lambda: True  # as if there were always another one
        await asyncio.wait_for(flooding.wait(), 10)
        caller.hang_up()
        await asyncio.wait_for(caller.ended.wait(), 10)
    assert caller.close is Close.OPEN


async def test_a_flood_is_left(monkeypatch):
    monkeypatch.setattr("bridge.dial.caller.MAX_AHEAD_S", -60.0)  # of what the time of a test allows

    async def script(peer):
        await peer.send(LOUD)
        with contextlib.suppress(ConnectionError):
            await peer.read_to_the_end()

    caller = await call(script)
    assert (caller.by_server, caller.close) == (False, Close.FLOOD)
    assert len(caller.received) == 0
    assert rules(caller) == ["floods the caller: nobody can keep what it sends"]
    assert PlacedCall(caller).ending() == "we left a flood"


async def test_voice_is_waited_for():
    async def script(peer):
        await peer.send(SILENCE, SILENCE, LOUD, SILENCE)
        await hang_up_well(peer)

    async with server(script) as port:
        caller = Caller()
        await caller.connect("127.0.0.1", port)
        first_s = await caller.voice(0.0)
        assert first_s == caller.received.arrivals_s[2]
        assert await caller.voice(0.0) == first_s
        with pytest.raises(EOFError):
            await caller.voice(first_s)
        await caller.ended.wait()
        with pytest.raises(EOFError):
            await caller.voice(first_s)


async def test_silence_is_waited_for():
    async def script(peer):
        await peer.send(*[LOUD] * 5, *[SILENCE] * 20)
        await hang_up_well(peer)

    async with server(script) as port:
        caller = Caller()
        await caller.connect("127.0.0.1", port)
        await caller.voice(0.0)
        await caller.silence(0.150)
        silent_for_s = asyncio.get_running_loop().time() - caller.received.arrivals_s[4]
        assert len(caller.received) < 25
        assert silent_for_s >= 0.149
        caller.hang_up()
        await caller.ended.wait()


async def test_no_server_is_said_in_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(CannotCall, match=f"cannot connect to 127.0.0.1:{port}: Connection refused"):
            await Caller().connect("127.0.0.1", port)


async def test_an_unknown_host_is_said_in_one_line():
    with pytest.raises(CannotCall, match=r"cannot connect to no-such-host\.invalid:9092"):
        await Caller().connect("no-such-host.invalid", 9092)


# How a call may end --------------------------------------------------------------------------------------------------


async def test_a_call_that_is_refused_at_once_needs_no_audio():
    assert rules(await call(hang_up_well)) == []


async def test_a_reset_is_found():
    async def script(peer):
        await peer.send(SILENCE)
        peer.reset()

    caller = await call(script)
    assert caller.close is Close.RESET
    assert rules(caller) == ["ends the call without a clean close: Asterisk drops the caller"]


async def test_the_end_inside_a_message_is_found():
    async def script(peer):
        await peer.send(SILENCE, SILENCE[:100])
        peer.writer.write_eof()
        await peer.read_to_the_end()  # what is closed with something unread is reset

    caller = await call(script)
    assert caller.close is Close.MID_MESSAGE
    assert "ends the call without a clean close: Asterisk drops the caller" in rules(caller)


async def test_closing_without_a_hang_up_message_is_found():
    async def script(peer):
        await peer.read_messages(1)
        await peer.send(SILENCE)
        peer.writer.write_eof()
        await peer.read_to_the_end()

    assert rules(await call(script)) == [
        "closes without 00 00 00: Asterisk before 20.14, 21.9 and 22.4 spins until the hang-up"
    ]


async def test_audio_after_the_hang_up_message_is_found():
    async def script(peer):
        await peer.send(SILENCE, HANGUP + SILENCE)
        await peer.read_to_the_end()

    assert rules(await call(script)) == ["goes on sending after 00 00 00"]


async def test_a_server_that_does_not_read_is_found():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # as little as the kernel allows
        caller = Caller(rate_hz=192_000)
        await caller.connect(*listener.getsockname())
        caller._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        connection, _ = listener.accept()
        with connection:
            await asyncio.wait_for(caller.ended.wait(), 30)
    assert caller.write_failed
    assert "stops reading: Asterisk drops the call when its write fails" in rules(caller)


def test_a_reset_ends_a_call_whose_last_frames_were_not_read_yet():
    """By uvloop, as `talkspurt call` runs: it tells of a reset once, however much lies before it."""

    async def run():
        server = socket.create_server(("127.0.0.1", 0))
        caller = Caller(call_id=uuid4())
        await caller.connect(*server.getsockname())
        peer, _ = server.accept()
        peer.sendall(SILENCE * 20)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        await asyncio.wait_for(caller.ended.wait(), 30)
        return caller

    caller = uvloop.run(run())
    assert caller.close is Close.RESET
    assert caller.by_server
