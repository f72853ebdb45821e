"""The AudioSocket server on real sockets."""

import asyncio
import gc
import socket
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from bridge.line import connection as connection_module
from bridge.line.audiosocket import FRAME_MS, Kind, encode
from bridge.line.call import CallObserver
from bridge.line.connection import TURN_MESSAGES, Connection
from bridge.line.socket_options import HALF_OPEN_MS
from bridge.line.sparse_log import SparseLog
from tests.support.fakes import Asterisk


async def test_silence_from_accept_even_before_the_uuid(bridge):
    peer = await Asterisk.connect(bridge.port, say_uuid=False)
    assert await peer.receive() == (Kind.SLIN8, bytes(320))
    await peer.close()


async def test_the_caller_is_greeted(bridge):
    peer = await Asterisk.connect(bridge.port)
    peer.send_audio()
    frame = await peer.hear(voiced=True)
    assert frame.kind == Kind.SLIN8
    assert len(frame.payload) == 320
    await peer.close()
    assert await bridge.next_end() == "caller hung up"
    assert len(bridge.calls) == 0


@pytest.mark.parametrize(
    ("kind", "frame_bytes"),
    [
        (Kind.SLIN8, 320), (Kind.SLIN12, 480), (Kind.SLIN16, 640), (Kind.SLIN24, 960), (Kind.SLIN32, 1280),
        (Kind.SLIN44, 1764), (Kind.SLIN48, 1920), (Kind.SLIN96, 3840), (Kind.SLIN192, 7680),
    ],
)  # fmt: skip
async def test_answers_in_the_kind_the_caller_speaks(bridge, kind, frame_bytes):
    peer = await Asterisk.connect(bridge.port)
    peer.send_audio(kind)
    frame = await peer.hear(voiced=True)
    assert (frame.kind, len(frame.payload)) == (kind, frame_bytes)
    silence = await peer.hear(voiced=False)
    assert (silence.kind, len(silence.payload)) == (kind, frame_bytes)
    await peer.close()


async def test_a_caller_who_sends_no_audio_is_greeted_at_8_khz(bridge):
    peer = await Asterisk.connect(bridge.port)
    assert (await peer.hear(voiced=True)).kind == Kind.SLIN8
    await peer.close()


async def test_no_uuid_in_time_is_a_quiet_close(bridge, monkeypatch):
    monkeypatch.setattr(connection_module, "UUID_DEADLINE_S", 0.05)
    peer = await Asterisk.connect(bridge.port, say_uuid=False)
    assert all(message.kind == Kind.SLIN8 for message in await peer.drain())
    assert len(bridge.calls) == 0
    await peer.close()


async def test_of_connections_that_are_no_calls_a_line_a_second_is_logged(bridge, monkeypatch):
    now_s = 0.0
    bridge.server.strangers = SparseLog(lambda: now_s)
    bridge.full = True

    async def come():
        monkeypatch.setattr(connection_module, "UUID_DEADLINE_S", 3600)
        wrong = [await Asterisk.connect(bridge.port, say_uuid=False) for _ in range(10)]
        refused = [await Asterisk.connect(bridge.port) for _ in range(10)]
        for peer in wrong:
            peer.send(Kind.DTMF, b"1")
        monkeypatch.setattr(connection_module, "UUID_DEADLINE_S", 0.05)
        silent = [await Asterisk.connect(bridge.port, say_uuid=False) for _ in range(10)]
        for peer in (*silent, *wrong, *refused):
            await peer.drain()
            await peer.close()

    with capture_logs() as logs:
        await come()
        now_s = 1.0
        await come()
    told = {event: [] for event in ("connection sent no UUID", "connection does not speak AudioSocket", "call refused")}
    for entry in logs:
        told[entry["event"]].append(entry["connections"])
    assert all(connections == [1, 10] for connections in told.values()), told


async def test_of_connections_without_a_uuid_only_so_many_are_kept_and_calls_do_not_count(bridge):
    bridge.server.max_unnamed = 3
    calls = []
    for _ in range(5):
        calls.append(await Asterisk.connect(bridge.port))
        await calls[-1].hear(voiced=True)
    silent = [await Asterisk.connect(bridge.port, say_uuid=False) for _ in range(3)]
    for peer in silent:
        await peer.receive()
    late = await Asterisk.connect(bridge.port)
    assert await late.drain() == [(Kind.HANGUP, b"")], "it goes back to its dialplan"
    assert len(bridge.calls) == 5
    await silent[0].drain()  # until its time is over
    again = await Asterisk.connect(bridge.port)
    await again.hear(voiced=True)
    await asyncio.gather(*(peer.close() for peer in (*calls, *silent, late, again)))


@pytest.mark.parametrize(
    "first", [b"GET / HTTP/1.1\r\n\r\n" + bytes(40_000), encode(Kind.UUID, b"short"), encode(Kind.SLIN8, bytes(320))]
)
async def test_who_does_not_speak_audiosocket_is_closed_alone(bridge, first):
    healthy = await Asterisk.connect(bridge.port)
    stranger = await Asterisk.connect(bridge.port, say_uuid=False)
    stranger.writer.write(first)
    await asyncio.gather(stranger.drain(), return_exceptions=True)
    await healthy.hear(voiced=True)
    assert len(bridge.calls) == 1
    await asyncio.gather(stranger.close(), healthy.close())


async def test_tolerates_unknown_kinds_errors_and_any_length(bridge):
    peer = await Asterisk.connect(bridge.port)
    for kind in (0x02, 0x7F, Kind.ERROR, Kind.UUID):
        peer.send(kind, b"x")
    for length in (0, 1, 161, 321, 8000, 65_535):
        peer.send(Kind.SLIN8, bytes(length))
    peer.send(Kind.DTMF, b"")
    peer.send(Kind.DTMF, b"\xff")
    peer.send(Kind.DTMF, b"5")
    await peer.hear(voiced=True)
    assert bridge.calls[0].dtmf == "5"
    await peer.close()


class Ears(CallObserver):
    """Lengths and rates of the caller's audio."""

    def __init__(self):
        self.heard = asyncio.Queue()

    def audio_received(self, pcm, rate_hz):
        self.heard.put_nowait((len(pcm), rate_hz))


async def test_the_callers_audio_reaches_who_listens_whatever_its_size(bridge):
    ears = Ears()
    peer = await Asterisk.connect(bridge.port)
    await peer.hear(voiced=True)
    bridge.calls[0].observe(ears)
    peer.send(Kind.SLIN8, bytes(160))
    peer.send(Kind.SLIN16, bytes(640))
    assert [await ears.heard.get(), await ears.heard.get()] == [(160, 8_000), (640, 16_000)]
    await peer.close()


WHOLE = encode(Kind.UUID, uuid4().bytes) + encode(Kind.SLIN8, bytes(320)) + encode(Kind.DTMF, b"1")


@pytest.mark.parametrize("cut", [0, 1, 3, 10, 19, 20, 22, 200, 342, 345, len(WHOLE)])
@pytest.mark.parametrize("how", ["eof", "reset"])
async def test_an_end_at_any_byte_leaves_nothing_behind(bridge, cut, how):
    peer = await Asterisk.connect(bridge.port, say_uuid=False)
    peer.writer.write(WHOLE[:cut])
    await peer.receive()
    if how == "eof":
        peer.writer.write_eof()
        await peer.drain()
    else:
        peer.reset()
    if cut >= 19:
        await bridge.next_end()
    healthy = await Asterisk.connect(bridge.port)
    await healthy.hear(voiced=True)
    assert len(bridge.calls) == 1
    await healthy.close()


async def test_our_hang_up_lets_the_last_word_out_and_resets_nobody(bridge):
    peer = await Asterisk.connect(bridge.port)
    await peer.hear(voiced=True)
    bridge.calls[0].hang_up()
    voiced = 1
    while True:
        peer.send_audio()  # Asterisk goes on sending: unread audio at our close would be a reset
        message = await peer.receive()
        if message.kind == Kind.HANGUP:
            break
        voiced += any(message.payload)
    assert voiced == 30, "600 ms of greeting, to its end"
    peer.send_audio(frames=20)
    assert len(bridge.calls) == 1, "the connection is read until Asterisk closes it"
    peer.writer.write_eof()
    assert await peer.drain() == []
    assert await bridge.next_end() == "hung up"


async def test_a_peer_that_never_closes_is_closed_after_the_deadline(bridge, monkeypatch):
    monkeypatch.setattr(connection_module, "CLOSE_DEADLINE_S", 0.05)
    peer = await Asterisk.connect(bridge.port)
    await peer.receive()
    bridge.calls[0].interrupt()
    bridge.calls[0].hang_up()
    assert (await peer.drain())[-1].kind == Kind.HANGUP
    assert await bridge.next_end() == "hung up"
    await peer.close()


async def test_a_refused_call_goes_back_to_its_dialplan_and_the_others_go_on(bridge):
    first = await Asterisk.connect(bridge.port)
    await first.receive()
    bridge.full = True
    second = await Asterisk.connect(bridge.port)
    while (message := await second.receive()).kind != Kind.HANGUP:
        assert not any(message.payload)
    await first.hear(voiced=True)
    await asyncio.gather(first.close(), second.close())


async def deaf_peer(port: int) -> socket.socket:
    """A caller who reads nothing: 384 kB a second fill its small buffers at once."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", port))
    await loop.sock_sendall(sock, encode(Kind.UUID, uuid4().bytes) + encode(Kind.SLIN192, b"12"))
    return sock


async def test_a_peer_that_stops_reading_is_dropped(bridge, monkeypatch):
    monkeypatch.setattr(connection_module, "STALL_DEADLINE_S", 0.05)
    sock = await deaf_peer(bridge.port)
    assert await bridge.next_end() == "lost: stopped reading"
    sock.close()


async def test_a_peer_that_reads_nothing_is_dropped_after_our_hang_up_too(bridge, monkeypatch):
    stalled = asyncio.Event()
    monkeypatch.setattr(Connection, "pause_writing", lambda self: stalled.set())  # no tick sees it: we hang up first
    monkeypatch.setattr(connection_module, "CLOSE_DEADLINE_S", 0.05)
    monkeypatch.setattr(connection_module, "STALL_DEADLINE_S", 0.05)
    sock = await deaf_peer(bridge.port)
    await asyncio.wait_for(stalled.wait(), 30)
    bridge.calls[0].interrupt()
    bridge.calls[0].hang_up()
    assert await bridge.next_end() == "hung up"
    sock.close()


async def test_draining_ends_calls_after_their_words_and_takes_no_new_ones(bridge):
    peer = await Asterisk.connect(bridge.port)
    await peer.hear(voiced=True)
    draining = asyncio.create_task(bridge.server.drain(10))
    messages = []
    while (message := await peer.receive()).kind != Kind.HANGUP:
        messages.append(message)
    assert sum(any(message.payload) for message in messages) == 29
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await Asterisk.connect(bridge.port)
    await peer.close()
    await asyncio.wait_for(draining, 30)


async def test_draining_cuts_who_speaks_longer_than_the_time_given(bridge):
    peer = await Asterisk.connect(bridge.port)
    await peer.hear(voiced=True)
    bridge.calls[0].say("A sentence that lasts for six seconds or so, letter by letter.")
    draining = asyncio.create_task(bridge.server.drain(0.05))
    voiced = 0
    while (message := await peer.receive()).kind != Kind.HANGUP:
        voiced += any(message.payload)
    await peer.close()
    await asyncio.wait_for(draining, 30)
    assert voiced * FRAME_MS < 3_000, "it is cut in the middle of six seconds"


class RecordingTransport(asyncio.Transport):
    """Keeps each write apart."""

    def __init__(self):
        super().__init__()
        self.writes = []
        self.spoken = asyncio.Event()
        self.sock = socket.socket()

    def write(self, data):
        self.writes.append(bytes(data))
        if sum(any(write[3:]) for write in self.writes) == 5:
            self.spoken.set()

    def set_write_buffer_limits(self, high=None, low=None):
        self.high = high

    def get_extra_info(self, name, default=None):
        return self.sock if name == "socket" else default

    def close(self):
        pass

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


async def test_one_write_a_frame_and_a_dead_host_is_noticed(bridge):
    transport = RecordingTransport()
    connection = Connection(bridge.server)
    connection.connection_made(transport)
    connection.data_received(encode(Kind.UUID, uuid4().bytes) + encode(Kind.SLIN8, bytes(320)))
    await asyncio.wait_for(transport.spoken.wait(), 30)
    assert {len(write) for write in transport.writes} == {323}
    assert transport.high == 0
    assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == HALF_OPEN_MS
    connection.connection_lost(None)
    transport.sock.close()


async def test_of_a_flood_no_more_is_taken_in_a_turn_than_leaves_the_others_their_time(bridge, monkeypatch):
    monkeypatch.setattr(connection_module, "REST_S", 3600)
    transport, took = RecordingTransport(), []
    connection = Connection(bridge.server)
    connection.connection_made(transport)
    connection.data_received(encode(Kind.UUID, uuid4().bytes))
    bridge.calls[0].audio_received = lambda kind, pcm: took.append(len(pcm))
    connection.data_received(encode(Kind.SLIN8, b"") * 87_000)
    assert (len(took), transport.reading) == (TURN_MESSAGES, False), "nothing is read for now"
    while not transport.reading:
        before = len(took)
        connection._read_on()
        assert len(took) - before <= TURN_MESSAGES
    assert len(took) < 87_000, "and of what is too much nothing is taken"
    connection.connection_lost(None)
    transport.sock.close()


async def test_keys_at_line_rate_are_dropped_and_the_next_hang_up_is_heard(bridge):
    healthy, stranger = [await Asterisk.connect(bridge.port) for _ in range(2)]
    await stranger.hear(voiced=True)
    call = next(call for call in bridge.calls if call.id == stranger.id)
    for _ in range(1_000):
        stranger.send(Kind.DTMF, b"5")
    stranger.send(Kind.HANGUP)
    assert await bridge.next_end() == "caller hung up"
    assert 0 < len(call.dtmf) < 1_000
    await healthy.hear(voiced=True)
    await asyncio.gather(stranger.close(), healthy.close())


async def test_a_call_whose_tick_fails_goes_back_to_its_dialplan(bridge):
    healthy = await Asterisk.connect(bridge.port)
    peer = await Asterisk.connect(bridge.port)
    await peer.hear(voiced=True)

    class Faulty(CallObserver):
        def frame_sent(self, pcm, rate_hz):
            raise RuntimeError("a fault of ours")

    bridge.calls[-1].observe(Faulty())
    assert (await peer.drain())[-1].kind == Kind.HANGUP
    await peer.close()
    assert await bridge.next_end() == "failed"
    await healthy.hear(voiced=True)
    await healthy.close()


async def test_five_hundred_calls_leave_nothing_behind(bridge):
    await (await Asterisk.connect(bridge.port)).close()
    await bridge.next_end()
    gc.collect()
    tasks = len(asyncio.all_tasks())
    for _ in range(10):
        peers = await asyncio.gather(*(Asterisk.connect(bridge.port) for _ in range(50)))
        await asyncio.gather(*(peer.receive() for peer in peers))
        await asyncio.gather(*(peer.close() for peer in peers))
        for _ in peers:
            await bridge.next_end()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(bridge.calls) == 0
    assert bridge.engine.streams == 0
    assert bridge.server.clock.next_s() is None
    assert len(asyncio.all_tasks()) == tasks
