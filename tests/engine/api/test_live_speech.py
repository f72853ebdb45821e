"""nari's protocol `nari.speech.v1` on WS /v1/audio/speech/ws."""

from __future__ import annotations

import asyncio
import json
import re

import numpy as np
import pytest
import websockets

from engine.api import live_speech
from engine.api.live_speech import PROTOCOL
from engine.speech import SpeechError, Style
from tests.support.speech_server import speech_server
from tests.support.tone_engine import RATE_HZ, sound_of

WAIT_S = 60  # a busy machine loads what the first request needs in ten
PATH = "/v1/audio/speech/ws"
START = {"type": "request.start", "model": "qwen", "voice": "low", "language": "English", "response_format": "pcm"}
AUDIO = {"encoding": "pcm_s16le", "sample_rate": 24_000, "channels": 1}


class Client:
    """As nari's own: it awaits each acknowledgement before the next piece."""

    def __init__(self, socket):
        self.socket = socket
        self.audio = b""
        self.events = []

    async def send(self, **event):
        await self.socket.send(json.dumps(event))

    async def event(self, kind):
        """The next event of this kind; what comes before it is kept."""
        while True:
            message = await asyncio.wait_for(self.socket.recv(), WAIT_S)
            if isinstance(message, bytes):
                self.audio += message
                continue
            self.events.append(json.loads(message))
            if self.events[-1]["type"] == kind:
                return self.events[-1]

    async def start(self, **fields):
        assert await self.event("session.created") == {"type": "session.created", "protocol": PROTOCOL, "audio": AUDIO}
        await self.send(**{**START, **fields})
        assert await self.event("request.configured") == {"type": "request.configured"}

    async def say(self, *pieces, first=0):
        for sequence, text in enumerate(pieces, first):
            await self.send(type="input_text.append", sequence=sequence, text=text)
            told = await self.event("input_text.ack")
            assert (told["event"], told["sequence"]) == ("input_text.append", sequence)

    @property
    def pcm(self):
        return np.frombuffer(self.audio, "<i2")

    async def closed(self):
        await asyncio.wait_for(self.socket.wait_closed(), WAIT_S)
        return self.socket.close_code


@pytest.fixture
async def client(server):
    async with websockets.connect(server.url.replace("http", "ws") + PATH, subprotocols=[PROTOCOL]) as socket:
        assert socket.subprotocol == PROTOCOL
        yield Client(socket)


def low(text, language="en"):
    return sound_of(text, Style(voice="low", language=language))


async def test_a_text_word_by_word(client):
    await client.start()
    await client.say("How ", "are ", "you?")
    await client.send(type="input_text.end", sequence=3)
    told = await client.event("input_text.ack")
    assert (told["event"], told["sequence"]) == ("input_text.end", 3)
    done = await client.event("response.done")
    assert (done["stop_reason"], done["request_id"]) == ("stop", told["request_id"])
    assert done["audio_chunks"] > 0
    (started,) = [event for event in client.events if event["type"] == "response.started"]
    assert started == {"type": "response.started", "request_id": done["request_id"], "audio": AUDIO}
    assert np.array_equal(client.pcm, low("How are you?"))
    assert await client.closed() == 1000


async def test_the_first_words_are_heard_before_the_first_sentence_is_whole(client, engine):
    await client.start()
    text = "Well, the train to the coast leaves at ten in the morning from platform four, and another"
    words = re.findall(r"\S+", text)
    await client.say(*(f"{word} " for word in words))
    if not client.audio:
        await client.event("response.started")
    assert len(engine.spoken[0][0]) <= 1.6 * live_speech.OPENING_CHARS
    assert " ".join(words).startswith(engine.spoken[0][0].strip())
    await client.say("one at noon.", first=len(words))
    await client.send(type="input_text.end", sequence=len(words) + 1)
    await client.event("response.done")
    assert " ".join(" ".join(text for text, _ in engine.spoken).split()) == " ".join([*words, "one at noon."])


async def test_cancelling_ends_it_at_once(client, engine):
    engine.hold(chunks=1)
    await client.start()
    await client.say("This is a sentence. ", "And another.")
    await engine.waiting.wait()
    await client.send(type="response.cancel")
    assert (await client.event("response.done"))["stop_reason"] == "cancelled"
    assert await client.closed() == 1000
    await asyncio.wait_for(engine.idle.wait(), WAIT_S)


async def test_it_can_be_cancelled_after_its_text_has_ended(client, engine):
    engine.hold(chunks=1)
    await client.start()
    await client.say("This is a sentence.")
    await client.send(type="input_text.end", sequence=1)
    await engine.waiting.wait()
    await client.send(type="response.cancel")
    assert (await client.event("response.done"))["stop_reason"] == "cancelled"


@pytest.mark.parametrize(
    ("events", "code", "close_code"),
    [
        ([START, START], "invalid_request", 1008),
        ([{"type": "input_text.append", "sequence": 0, "text": "Hello."}], "invalid_request", 1008),
        ([START, {"type": "input_text.append", "sequence": 1, "text": "Hello."}], "invalid_sequence", 1008),
        ([START, {"type": "input_text.end", "sequence": 0}], "empty_input", 1008),
        (
            [
                START,
                {"type": "input_text.append", "sequence": 0, "text": " "},
                {"type": "input_text.end", "sequence": 1},
            ],
            "empty_input",
            1008,
        ),
        ([START, {"type": "input_text.append", "sequence": 0, "text": "x" * 70_000}], "input_too_large", 1009),
        ([{"type": "session.update"}], "unknown_event", 1008),
        (["no event"], "invalid_request", 1008),
        ([{**START, "voice": "nobody"}], "unknown_voice", 1008),
        ([{**START, "speed": 9}], "invalid_request", 1008),
        ([{**START, "response_format": "wav"}], "invalid_request", 1008),
        ([{**START, "ref_audio": "AAAA"}], "invalid_request", 1008),
    ],
)
async def test_what_is_wrong_is_told_and_ends_the_connection(client, events, code, close_code):
    for event in events:
        await client.socket.send(json.dumps(event))
    error = (await client.event("error"))["error"]
    assert (error["code"], error["type"]) == (code, "invalid_request_error")
    assert error["message"]
    assert await client.closed() == close_code


async def test_an_engine_that_fails_is_told(client, engine):
    engine.fails, engine.fails_after_chunks = SpeechError("out of order"), 1
    await client.start()
    await client.say("This is a sentence. ")
    await client.send(type="input_text.end", sequence=1)
    error = await client.event("error")
    assert error["error"] == {"type": "generation_error", "code": "synthesis_failed", "message": "out of order"}
    assert error["request_id"]
    assert await client.closed() == 1011


async def test_who_sends_nothing_is_not_waited_for(client, monkeypatch):
    monkeypatch.setattr(live_speech, "INPUT_TIMEOUT_S", 0.01)
    await client.event("session.created")
    await client.send(type="request.start")
    assert (await client.event("error"))["error"]["code"] == "input_timeout"


async def test_who_leaves_is_not_spoken_for(client, engine):
    engine.hold(chunks=1)
    await client.start()
    await client.say("This is a sentence. ", "And another.")
    await engine.waiting.wait()
    await client.socket.close()
    await asyncio.wait_for(engine.idle.wait(), WAIT_S)
    assert engine.open_streams == 0


async def test_a_full_server_says_to_come_again(engine, tmp_path):
    async with speech_server(engine, tmp_path, max_queue_depth=1) as server:
        with server.service.synthesizer._admission.place("elsewhere", live_speech.Pace()):
            url = server.url.replace("http", "ws") + PATH
            async with websockets.connect(url, subprotocols=[PROTOCOL]) as socket:
                client = Client(socket)
                await client.start()
                await client.send(type="input_text.append", sequence=0, text="Hello there. And more.")
                assert (await client.event("error"))["error"]["code"] == "queue_full"
                assert await client.closed() == 1013


async def test_without_the_subprotocol_it_is_ours(server):
    async with server.session.ws_connect(server.url + PATH) as socket:
        await socket.send_json({"input": "Hello there."})
        assert await socket.receive_bytes(timeout=WAIT_S)
    assert RATE_HZ == live_speech.RATE_HZ
