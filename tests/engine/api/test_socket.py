"""WS /v1/audio/speech/ws."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from aiohttp import WSMsgType

from engine.api import socket as api_socket
from engine.audio import resample
from engine.growing_text import GrowingText
from engine.speech import SpeechError, Style
from tests.support.speech_server import speech_server
from tests.support.tone_engine import RATE_HZ, sound_of

WAIT_S = 60  # a busy machine loads what the first request needs in ten
PATH = "/v1/audio/speech/ws"
TEXT = "The first sentence of this text. And then there is another one."


@pytest.fixture
async def socket(server):
    async with server.session.ws_connect(server.url + PATH) as connected:
        yield connected


async def answer(socket):
    """Everything up to the event that ends one request: its PCM and that event."""
    audio = []
    while True:
        message = await socket.receive(timeout=WAIT_S)
        if isinstance(message.data, bytes):
            audio.append(message.data)
        else:
            return np.frombuffer(b"".join(audio), "<i2"), json.loads(message.data)


def low(text, **style):
    return sound_of(text, Style(voice="low", **style))


async def test_a_text_is_spoken_and_done(socket):
    await socket.send_json({"input": "Hello there.", "voice": "alloy"})
    heard, event = await answer(socket)
    assert np.array_equal(heard, low("Hello there."))
    assert event == {"event": "done", "cancelled": False, "sample_rate": RATE_HZ, "voice": "low"}


async def test_the_handshake_tells_the_rate(server):
    async with server.session.ws_connect(server.url + PATH) as socket:
        assert socket._response.headers["X-PCM-Sample-Rate"] == "24000"


async def test_several_in_turn_keep_their_order(socket):
    for text in ("One, first.", "Two, second.", "Three, third."):
        await socket.send_json({"input": text, "sample_rate": 8_000})
    for text in ("One, first.", "Two, second.", "Three, third."):
        heard, event = await answer(socket)
        assert np.array_equal(heard, resample(low(text), RATE_HZ, 8_000))
        assert (event["event"], event["sample_rate"]) == ("done", 8_000)


async def test_text_in_pieces_is_spoken_as_it_comes(socket, engine):
    await socket.send_json({"input_delta": "The first sen", "voice": "high", "speed": 2})
    for piece in ("tence of this text.", " And then", " there is"):
        await socket.send_json({"input_delta": piece})
    first = await socket.receive_bytes(timeout=WAIT_S)  # before the text is whole
    assert engine.spoken == [("The first sentence of this text.", engine.spoken[0][1])]
    assert (engine.spoken[0][1].voice, engine.spoken[0][1].speed) == ("high", 2.0)
    await socket.send_json({"input_delta": " another one", "event": "flush"})
    heard, event = await answer(socket)
    assert event["event"] == "done"
    assert [sentence for sentence, _ in engine.spoken][1:] == ["And then there is another one"]
    last = sound_of("And then there is another one", Style(voice="high", speed=2.0))
    assert np.array_equal(heard[-last.size :], last)
    assert first


async def test_after_a_flush_the_next_piece_opens_the_next_text(socket, engine):
    for text in ("Number one.", "Number two."):
        await socket.send_json({"input_delta": text})
        await socket.send_json({"event": "flush"})
    for text in ("Number one.", "Number two."):
        heard, event = await answer(socket)
        assert np.array_equal(heard, low(text))
        assert event["event"] == "done"


async def test_a_whole_text_ends_the_one_in_pieces(socket):
    await socket.send_json({"input_delta": "In pieces"})
    await socket.send_json({"input": "And whole."})
    assert np.array_equal((await answer(socket))[0], low("In pieces"))
    assert np.array_equal((await answer(socket))[0], low("And whole."))


async def test_cancel_ends_everything_that_was_asked_for(socket, engine):
    engine.hold(chunks=2)
    await socket.send_json({"input": TEXT})
    await socket.send_json({"input": "Never spoken."})
    await socket.send_json({"input_delta": "Nor this. "})
    assert len(await socket.receive_bytes(timeout=WAIT_S)) > 0
    await engine.waiting.wait()
    await socket.send_json({"event": "cancel"})
    for _ in range(3):
        _, event = await answer(socket)
        assert (event["event"], event["cancelled"]) == ("done", True)
    assert engine.open_streams == 0
    engine.release()
    await socket.send_json({"input": "Still here."})
    heard, event = await answer(socket)
    assert np.array_equal(heard, low("Still here."))
    assert not event["cancelled"]
    assert "Never spoken." not in [sentence for sentence, _ in engine.spoken]


async def test_cancel_and_a_new_text_in_one_message(socket, engine):
    engine.hold(chunks=1)
    await socket.send_json({"input": TEXT})
    await engine.waiting.wait()
    engine.release()
    await socket.send_json({"event": "cancel", "input": "Rather this."})
    _, event = await answer(socket)
    heard, event = (await answer(socket)) if event["cancelled"] else pytest.fail("not cancelled")
    assert np.array_equal(heard, low("Rather this."))


async def test_cancel_and_flush_of_nothing_are_nothing(socket):
    await socket.send_json({"event": "cancel"})
    await socket.send_json({"event": "flush"})
    await socket.send_json({"input": "Hello."})
    heard, event = await answer(socket)
    assert (heard.size, event["event"]) == (low("Hello.").size, "done")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "INVALID_REQUEST"),
        ("[]", "INVALID_REQUEST"),
        ("{}", "EMPTY_INPUT"),
        ('{"input": ""}', "EMPTY_INPUT"),
        ('{"input": "  "}', "EMPTY_INPUT"),
        ('{"input": null, "voice": "low"}', "EMPTY_INPUT"),
        ('{"input": 5}', "INVALID_REQUEST"),
        ('{"event": "stop"}', "INVALID_REQUEST"),
        ('{"input": "x", "voice": "nobody"}', "UNKNOWN_VOICE"),
        ('{"input_delta": "x", "voice": "nobody"}', "UNKNOWN_VOICE"),
        ('{"input": "x", "speed": 9}', "INVALID_REQUEST"),
        ('{"input": "unspeakable"}', "UNSPEAKABLE_TEXT"),
        (json.dumps({"input": "x" * 70_000}), "INPUT_TOO_LONG"),
        ('{"input": "x", "ref_audio": "AAAA"}', "INVALID_REQUEST"),
        ('{"input_delta": "x", "ref_audio": "AAAA"}', "INVALID_REQUEST"),
        (b"bytes", "INVALID_REQUEST"),
    ],
)
async def test_an_error_is_told_and_the_connection_lives_on(socket, message, code):
    await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_str(message))
    _, event = await answer(socket)
    assert (event["event"], event["code"]) == ("error", code)
    assert event["detail"]
    await socket.send_json({"input": "Hello."})
    heard, event = await answer(socket)
    assert (heard.size, event["event"]) == (low("Hello.").size, "done")


async def test_an_engine_that_fails_ends_its_request_alone(socket, engine):
    engine.fails, engine.fails_after_chunks = SpeechError("out of order"), 1
    await socket.send_json({"input": TEXT})
    heard, event = await answer(socket)
    assert heard.size
    assert event == {"event": "error", "detail": "out of order", "code": "SYNTHESIS_FAILED"}
    engine.fails = None
    await socket.send_json({"input": "Hello."})
    assert (await answer(socket))[1]["event"] == "done"


@pytest.mark.parametrize("after", [0, 2])
async def test_a_defect_in_the_engine_ends_its_request_alone(socket, engine, after):
    engine.fails, engine.fails_after_chunks = ZeroDivisionError("inside"), after
    await socket.send_json({"input": TEXT})
    _, event = await answer(socket)
    assert (event["event"], event["code"]) == ("error", "INTERNAL_ERROR")
    assert "inside" not in event["detail"]
    engine.fails = None
    await socket.send_json({"input": "Hello."})
    assert (await answer(socket))[1]["event"] == "done"


async def test_pieces_that_become_too_much_are_one_error(engine, tmp_path):
    async with (
        speech_server(engine, tmp_path, max_input_chars=20) as server,
        server.session.ws_connect(server.url + PATH) as socket,
    ):
        for piece in ("Ten chars ", "and then ", "many more ", "still more"):
            await socket.send_json({"input_delta": piece})
        await socket.send_json({"event": "flush"})
        await socket.send_json({"input": "Hello."})
        _, event = await answer(socket)
        assert (event["event"], event["code"]) == ("error", "INPUT_TOO_LONG")
        heard, event = await answer(socket)
        assert (heard.size, event["event"]) == (low("Hello.").size, "done")


async def test_of_a_text_that_was_too_long_no_more_is_kept(engine, tmp_path, monkeypatch):
    kept = []

    class Counted(GrowingText):
        def write(self, piece):
            kept.append(len(piece))
            super().write(piece)

    monkeypatch.setattr(api_socket, "GrowingText", Counted)
    async with (
        speech_server(engine, tmp_path, max_input_chars=20) as server,
        server.session.ws_connect(server.url + PATH) as socket,
    ):
        engine.hold()
        await socket.send_json({"input": "Held."})
        for _ in range(100):
            await socket.send_json({"input_delta": "x" * 15})
        await socket.send_json({"event": "flush"})
        engine.release()
        assert (await answer(socket))[1]["event"] == "done"
        assert (await answer(socket))[1]["code"] == "INPUT_TOO_LONG"
    assert kept == [15]


async def test_pieces_of_nothing_are_not_kept():
    text = GrowingText()
    for _ in range(1_000):
        text.write("")
    text.write("word")
    assert text._pieces.qsize() == 1


async def test_too_many_unanswered_requests_are_refused(socket, engine):
    engine.hold()
    for _ in range(70):
        await socket.send_json({"input": "Hello."})
    _, event = await answer(socket)
    assert (event["event"], event["code"]) == ("error", "QUEUE_FULL")
    engine.release()


async def test_a_connection_is_closed_once_it_is_idle_but_not_while_it_is_spoken_for(server, engine, monkeypatch):
    monkeypatch.setattr(api_socket, "IDLE_S", 0.5)
    engine.hold()
    async with server.session.ws_connect(server.url + PATH) as socket:
        await socket.send_json({"input": "Hello there."})
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=1.0)
        engine.release()
        assert (await answer(socket))[1]["event"] == "done"
        message = await socket.receive(timeout=WAIT_S)
        assert (message.type, message.extra) == (WSMsgType.CLOSE, "idle")


async def test_a_plain_request_is_told_to_upgrade(server):
    response = await server.get(PATH)
    assert (response.status, response.headers["Upgrade"]) == (426, "websocket")


async def test_a_server_that_stops_says_goodbye(engine, tmp_path):
    async with speech_server(engine, tmp_path) as server:
        engine.hold(chunks=1)
        socket = await server.session.ws_connect(server.url + PATH)
        await socket.send_json({"input": TEXT})
        await engine.waiting.wait()
        stopping = asyncio.create_task(server.stop())
        messages = [message async for message in socket]
        await stopping
        assert socket.close_code == 1001
        assert all(isinstance(message.data, bytes) for message in messages)
        assert engine.open_streams == 0
