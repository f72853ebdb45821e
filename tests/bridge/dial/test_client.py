"""The client of the calls API against the API itself."""

from uuid import uuid4

import pytest

from bridge.app import App
from bridge.config import Settings
from bridge.dial.client import CallsClient, Rejected
from bridge.line.audiosocket import Kind
from tests.support.fakes import Asterisk, FakeEngine


@pytest.fixture
async def app():
    app = App(Settings.of(audiosocket_port=0, http_port=0, drain_timeout=0, apology=""), FakeEngine())
    await app.start()
    yield app
    await app.stop()


async def test_a_call_is_spoken_to_interrupted_and_hung_up(app):
    peer = await Asterisk.connect(app.audiosocket_port)
    peer.send_audio()
    await peer.receive()
    while app.calls.find(peer.id) is None:
        await peer.receive()
    async with CallsClient(f"http://127.0.0.1:{app.http_port}/") as client:
        await client.say(peer.id, "A sentence of some length.", voice="two")
        await peer.hear(voiced=True)
        assert (await client.interrupt(peer.id))["interrupted"] is True
        assert await client.interrupt(peer.id) == {"interrupted": False}
        await client.hang_up(peer.id)
    while (message := await peer.receive()).kind != Kind.HANGUP:
        pass
    assert message.payload == b""
    assert app.engine.spoken[-1] == ("A sentence of some length.", "two")
    await peer.close()


async def test_a_calls_events_and_state_are_told(app):
    async with CallsClient(f"http://127.0.0.1:{app.http_port}") as client:
        call_id = uuid4()
        await client.register(call_id, name="Ada")
        peer = await Asterisk.connect(app.audiosocket_port, call_id)
        peer.send_audio()
        while app.calls.find(peer.id) is None:
            await peer.receive()
        assert (await client.state(call_id))["conversation"]["variables"]["name"] == "Ada"
        events = client.events(call_id)
        kinds = [(await anext(events))["type"]]
        await client.hang_up(call_id)
        kinds += [event["type"] async for event in events]
        assert (kinds[0], kinds[-1]) == ("call.started", "call.ended")
        with pytest.raises(Rejected, match="GET"):
            await anext(client.events(uuid4()))
        await peer.close()


async def test_what_the_server_refuses_is_said_in_its_words(app):
    call_id = uuid4()
    async with CallsClient(f"http://127.0.0.1:{app.http_port}") as client:
        with pytest.raises(Rejected, match=f"no call '{call_id}'"):
            await client.say(call_id, "Hello.")


async def test_no_server_is_an_error_of_one_line(unused_tcp_port):
    async with CallsClient(f"http://127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(Rejected, match="Cannot connect") as raised:
            await client.interrupt(uuid4())
    assert "\n" not in str(raised.value)
