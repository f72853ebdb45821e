"""Wyoming, with the package's own client, as Home Assistant uses it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import asynccontextmanager

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event, async_read_event, async_write_event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

from bridge.wyoming import connection
from bridge.wyoming import server as wyoming_server
from bridge.wyoming.server import WyomingServer
from engine.api.service import SpeechService
from engine.settings import SpeechSettings, VoiceSettings
from engine.speech import Pcm, SpeechError, Style, VoiceReference
from tests.support.tone_engine import RATE_HZ, ToneEngine, sound_of

TEXT = "The light in the kitchen is on."
WAIT_S = 10


class Client(AsyncTcpClient):
    """Home Assistant's side."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port, read_timeout=WAIT_S)

    async def send(self, *messages) -> None:
        for message in messages:
            await self.write_event(message.event())

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def heard(self) -> Pcm:
        """What is played of one answer."""
        assert AudioStart.from_event(await self.read_event()).rate == RATE_HZ
        pcm = b""
        while not AudioStop.is_type((event := await self.read_event()).type):
            chunk = AudioChunk.from_event(event)
            assert (chunk.rate, chunk.width, chunk.channels) == (RATE_HZ, 2, 1)
            assert chunk.timestamp == len(pcm) // 2 * 1000 // RATE_HZ
            pcm += chunk.audio
        return np.frombuffer(pcm, "<i2")

    async def refusal(self) -> Error:
        """The error, after which nothing comes any more."""
        fault = Error.from_event(await self.read_event())
        assert await self.read_event() is None
        return fault


def low(text: str, **style) -> Pcm:
    return sound_of(text, Style(voice="low", **style))


@asynccontextmanager
async def serving(engine, folder, connections=8, **settings):
    service = SpeechService(
        engine,
        SpeechSettings.model_validate(settings),
        VoiceSettings(voices_dir=folder),
        CollectorRegistry(),
    )
    server = WyomingServer(service, connections)
    await server.start("127.0.0.1", 0)
    try:
        yield server
    finally:
        await server.close(0)
        service.synthesizer.close()


@pytest.fixture
def engine():
    return ToneEngine()


@pytest.fixture
async def server(engine, tmp_path):
    async with serving(engine, tmp_path) as running:
        yield running


@pytest.fixture
async def client(server):
    async with Client(server.port) as connected:
        yield connected


async def test_the_voices_are_described_with_their_languages(client):
    await client.send(Describe())
    info = Info.from_event(await client.read_event())
    (program,) = info.tts
    assert program.name == "talkspurt"
    assert program.installed
    assert program.supports_synthesize_streaming
    assert [(voice.name, voice.description, voice.languages) for voice in program.voices] == [
        *(("low-en", "Low", ["en"]), ("low-zh", "Low", ["zh"])),
        *(("high-en", "High", ["en"]), ("high-zh", "High", ["zh"])),
    ]
    assert all(voice.installed for voice in program.voices)
    assert not [*info.asr, *info.wake, *info.handle, *info.intent]


async def test_a_text_is_spoken_in_the_voice_and_language_of_the_name(client, engine):
    await client.send(Synthesize(TEXT, SynthesizeVoice("high-zh")))
    assert np.array_equal(await client.heard(), sound_of(TEXT, Style(voice="high", language="zh")))
    ((_, style),) = engine.spoken
    assert (style.voice, style.language) == ("high", "zh")


@pytest.mark.parametrize(
    ("voice", "expected"),
    [
        (None, ("low", "en")),
        (SynthesizeVoice(language="de_DE"), ("low", "de")),
        (SynthesizeVoice("alloy"), ("low", "en")),
        (SynthesizeVoice("shimmer", speaker="anyone"), ("high", "en")),
    ],
)
async def test_names_of_the_http_endpoints_and_languages_alone_are_known_too(client, engine, voice, expected):
    await client.send(Synthesize("Good evening, the light in the kitchen is on and the door is closed.", voice))
    await client.heard()
    ((_, style),) = engine.spoken
    assert (style.voice, style.language) == expected


async def test_a_text_that_is_being_written_is_spoken_as_it_comes_and_once(client, engine):
    """Home Assistant sends the whole text before the end, for servers that take none in pieces."""
    first, second = "The light in the kitchen is on. ", "The door is closed."
    await client.send(SynthesizeStart(SynthesizeVoice("low-en")), SynthesizeChunk(first), SynthesizeChunk("The "))
    assert AudioStart.is_type((await client.read_event()).type)
    assert AudioChunk.is_type((await client.read_event()).type)
    await client.send(SynthesizeChunk("door is closed."), Synthesize(first + second), SynthesizeStop())
    while not AudioStop.is_type((await client.read_event()).type):
        pass
    assert SynthesizeStopped.is_type((await client.read_event()).type)
    assert [text for text, _ in engine.spoken] == [first.strip(), second]


async def test_several_texts_are_answered_in_turn(client):
    await client.send(Synthesize("One."), Ping("there?"), Synthesize("Two, and that is all."))
    assert Pong.from_event(await client.read_event()).text == "there?"
    assert np.array_equal(await client.heard(), low("One."))
    assert np.array_equal(await client.heard(), low("Two, and that is all."))


async def test_events_of_other_services_are_passed_over(client):
    await client.write_event(Event("transcribe", {"language": "en"}))
    await client.write_event(AudioChunk(16_000, 2, 1, bytes(2_048)).event())
    await client.send(Ping())
    assert Pong.is_type((await client.read_event()).type)


@pytest.mark.parametrize(
    "sent",
    [
        *(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x00\xff\n", b"[]\n", b"7\n", b"{}\n", b"[" * 9_000 + b"\n"),
        *(b'{"type": "synthesize"}\n', b'{"type": "synthesize", "data": {"text": null}}\n'),
        b'{"type": "synthesize", "data": {"text": ["a"]}}\n',
        b'{"type": "synthesize", "data": {"text": "a\\ud800"}}\n',
        b'{"type": "synthesize", "data": ["text"]}\n',
        b'{"type": "synthesize", "data": {"text": "a", "voice": "low"}}\n'.replace(b'"low"', b"null"),
        b'{"type": "synthesize", "data": {"text": "a", "voice": {"name": ["low"]}}}\n',
        b'{"type": "synthesize", "data": {"text": "a", "text_format": "morse"}}\n',
        b'{"type": "synthesize-start", "data": {"voice": 7}}\n',
        b'{"type": "synthesize-chunk", "data": {"text": "a"}}\n',
        b'{"type": "synthesize", "data_length": "many"}\n',
        b'{"type": "synthesize", "data_length": 1e300}\n',
        b'{"type": "synthesize", "data_length": 3000000000}\n',
        b'{"type": "audio-chunk", "payload_length": 3000000000}\n',
        b'{"type": "synthesize", "data_length": 2}\n[]',
        b"x" * 600_000,
    ],
    ids=lambda sent: str(sent[:60]),
)
async def test_what_is_no_event_is_refused_and_costs_that_connection_alone(server, client, sent):
    async with Client(server.port) as other:
        await client.write(sent)
        assert (await client.refusal()).code == "BAD_EVENT"
        await other.send(Synthesize(TEXT))
        assert np.array_equal(await other.heard(), low(TEXT, language="en"))


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (Synthesize("  "), "EMPTY_INPUT"),
        (Synthesize(TEXT, SynthesizeVoice("nobody")), "UNKNOWN_VOICE"),
        (Synthesize(TEXT, SynthesizeVoice(language="!")), "INVALID_REQUEST"),
        (SynthesizeStart(SynthesizeVoice("nobody")), "UNKNOWN_VOICE"),
        (Synthesize("unspeakable"), "UNSPEAKABLE_TEXT"),
        (Synthesize("x" * 101), "INPUT_TOO_LONG"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_be_spoken_is_told_and_ends_the_connection(engine, tmp_path, message, code):
    """Home Assistant does not know the event, and waits for audio as long as the connection stays."""
    async with serving(engine, tmp_path, max_input_chars=100) as server, Client(server.port) as client:
        await client.send(message)
        assert (await client.refusal()).code == code


async def test_a_text_that_grows_too_long_is_given_up(engine, tmp_path):
    engine.hold()
    async with serving(engine, tmp_path, max_input_chars=40) as server, Client(server.port) as client:
        await client.send(SynthesizeStart(), *(SynthesizeChunk("Ten chars. ") for _ in range(4)))
        assert (await client.refusal()).code == "INPUT_TOO_LONG"
        await asyncio.wait_for(engine.idle.wait(), WAIT_S)


async def test_an_engine_that_fails_in_the_middle_gives_no_half_answer(client, engine):
    engine.fails, engine.fails_after_chunks = SpeechError("it broke"), 2
    await client.send(Synthesize(TEXT))
    kinds = []
    while (event := await client.read_event()) is not None:
        kinds.append(event.type)
    assert kinds == ["audio-start", "audio-chunk", "audio-chunk", "error"]


async def test_no_more_are_spoken_at_once_than_over_http(engine, tmp_path):
    engine.hold()
    async with (
        serving(engine, tmp_path, max_queue_depth=1) as server,
        Client(server.port) as first,
        Client(server.port) as second,
    ):
        await first.send(Synthesize(TEXT))
        await asyncio.wait_for(engine.waiting.wait(), WAIT_S)
        await second.send(Synthesize("Another text."))
        assert (await second.refusal()).code == "QUEUE_FULL"
        engine.release()
        await first.heard()


async def test_a_connection_has_so_many_unanswered_requests(client, engine):
    engine.hold()
    await client.send(*(Synthesize(f"Number {number}.") for number in range(connection.MAX_REQUESTS + 1)))
    assert (await client.refusal()).code == "QUEUE_FULL"


async def test_what_a_client_sends_is_counted_as_over_a_websocket(engine, tmp_path, monkeypatch):
    """So that a flood, of many events or of large ones, is held back."""
    spent = []

    class Counted(connection.Budget):
        def spend(self, characters=0):
            spent.append(characters)
            return super().spend(characters)

    monkeypatch.setattr(connection, "Budget", Counted)
    async with serving(engine, tmp_path) as server, Client(server.port) as client:
        for text in ("a", "x" * 50_000):
            await client.send(Ping(text))
            assert Pong.from_event(await client.read_event()).text == text
    assert len(spent) == 2
    assert spent[1] > 50_000


async def test_one_connection_too_many_is_closed(engine, tmp_path):
    async with serving(engine, tmp_path, connections=1) as server, Client(server.port) as first:
        await first.send(Ping())
        await first.read_event()
        async with Client(server.port) as second:
            assert await second.read_event() is None
        await first.send(Ping())
        assert await first.read_event()


async def test_a_client_that_leaves_ends_its_speech(server, engine):
    engine.hold()
    async with Client(server.port) as client:
        await client.send(Synthesize(TEXT))
        await asyncio.wait_for(engine.waiting.wait(), WAIT_S)
    await asyncio.wait_for(engine.idle.wait(), WAIT_S)
    assert engine.open_streams == 0
    engine.release()
    async with Client(server.port) as other:
        await other.send(Synthesize(TEXT))
        assert (await other.heard()).any(), "another one is spoken to"


async def test_a_client_that_asks_for_nothing_is_let_go(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "IDLE_S", 0.05)
    async with serving(engine, tmp_path) as server, Client(server.port) as client:
        assert await client.read_event() is None


async def test_while_a_text_is_spoken_no_client_is_idle(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "IDLE_S", 0.3)
    engine.hold()
    async with serving(engine, tmp_path) as server, Client(server.port) as client:
        await client.send(Synthesize(TEXT))
        await asyncio.wait_for(engine.waiting.wait(), WAIT_S)
        asyncio.get_running_loop().call_later(0.6, engine.release)
        assert (await client.heard()).size == low(TEXT).size


async def test_a_client_that_does_not_read_is_let_go(engine, tmp_path, monkeypatch):
    outcomes = asyncio.Queue()

    class Watched(connection.Account):
        def close(self, **context):
            outcomes.put_nowait(self.outcome)
            super().close(**context)

    monkeypatch.setattr(connection, "Account", Watched)
    monkeypatch.setattr(wyoming_server, "UNSENT_BYTES", 2_048)
    text = "A sentence that goes on for a while, so that there is plenty to read. " * 200
    async with serving(engine, tmp_path, slow_reader_timeout=0.1) as server:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        narrow.connect(("127.0.0.1", server.port))
        reader, writer = await asyncio.open_connection(sock=narrow, limit=1_024)
        await async_write_event(Synthesize(text).event(), writer)
        assert (await async_read_event(reader)).type == "audio-start"
        assert await asyncio.wait_for(outcomes.get(), WAIT_S) == "slow"
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), WAIT_S)
        writer.close()


async def test_a_client_that_asks_and_does_not_read_holds_no_connection(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "IDLE_S", 0.3)
    monkeypatch.setattr(connection, "CLOSE_S", 0.1)
    monkeypatch.setattr(wyoming_server, "UNSENT_BYTES", 2_048)
    async with serving(engine, tmp_path) as server:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        narrow.connect(("127.0.0.1", server.port))
        narrow.setblocking(False)
        loop, ping = asyncio.get_running_loop(), b'{"type": "ping", "data": {"text": "%s"}}\n' % (b"x" * 30_000)

        async def ask() -> None:
            while True:
                await loop.sock_sendall(narrow, ping)

        with pytest.raises(ConnectionError):  # the server resets it
            await asyncio.wait_for(ask(), WAIT_S)
        narrow.close()


async def test_a_stop_lets_what_is_spoken_end_and_closes_the_idle(server, engine):
    engine.hold()
    async with Client(server.port) as busy, Client(server.port) as idle:
        await busy.send(Synthesize(TEXT))
        await asyncio.wait_for(engine.waiting.wait(), WAIT_S)
        stopping = asyncio.create_task(server.close(WAIT_S))
        assert await idle.read_event() is None
        engine.release()
        assert (await busy.heard()).size == low(TEXT).size
        assert await busy.read_event() is None
        await stopping
    with pytest.raises(ConnectionRefusedError):
        await Client(server.port).connect()


async def test_a_stop_does_not_wait_for_ever(server, engine):
    engine.hold()
    async with Client(server.port) as client:
        await client.send(Synthesize(TEXT))
        await asyncio.wait_for(engine.waiting.wait(), WAIT_S)
        await asyncio.wait_for(server.close(0.0), WAIT_S)
        assert await client.read_event() is None


async def test_a_stored_voice_is_listed_and_spoken_in(server, engine, tmp_path):
    server.service.voices.save("anna", "en", VoiceReference(np.zeros(RATE_HZ, np.int16), RATE_HZ))
    async with Client(server.port) as client:
        await client.send(Describe())
        (program,) = Info.from_event(await client.read_event()).tts
        assert "anna-en" in [voice.name for voice in program.voices]
        await client.send(Synthesize(TEXT, SynthesizeVoice("anna-en")))
        await client.heard()
    ((_, style),) = engine.spoken
    assert style.reference is not None
    assert style.language == "en"


async def test_the_log_and_the_metrics_know_the_interface(server, client):
    await client.send(Synthesize(TEXT))
    await client.heard()
    await client.send(Ping())
    await client.read_event()
    counted = server.service.metrics.requests.labels("wyoming", "pcm", "ok")._value.get()
    assert counted == 1
