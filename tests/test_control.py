"""The calls API over HTTP, on the whole application with a fake engine."""

import asyncio
from uuid import uuid4

import aiohttp
import pytest

from bridge.app import App
from bridge.audiosocket import Kind
from bridge.config import Settings
from engine.text import SentenceSplitter
from tests.fakes import Asterisk, FakeEngine

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def app():
    app = App(Settings(audiosocket_port=0, http_port=0, drain_timeout=0, apology="", _env_file=None), FakeEngine())
    await app.start()
    yield app
    await app.stop()


@pytest.fixture
async def http(app):
    async with aiohttp.ClientSession(f"http://127.0.0.1:{app.http_port}") as session:
        yield session


@pytest.fixture
async def peer(app):
    peer = await Asterisk.connect(app.audiosocket_port)
    peer.send_audio()
    await peer.receive()
    while app.calls.find(peer.id) is None:
        await peer.receive()
    yield peer
    await peer.close()


async def ended(app, peer):
    """Close the peer's side and wait until the server has noticed."""
    gone = asyncio.Event()
    app.calls.find(peer.id).end_listeners.append(lambda reason: gone.set())
    await peer.close()
    await asyncio.wait_for(gone.wait(), 10)


async def test_lists_calls_in_progress_and_remembers_those_that_ended(app, http, peer):
    listed = await (await http.get("/v1/calls")).json()
    assert [call["id"] for call in listed["data"]] == [str(peer.id)]
    assert listed["data"][0]["state"] == "active"
    await ended(app, peer)
    assert (await (await http.get("/v1/calls")).json())["data"] == []
    call = await (await http.get(f"/v1/calls/{peer.id}")).json()
    assert (call["state"], call["end_reason"]) == ("ended", "caller hung up")


async def test_what_is_said_is_heard_in_order(app, http, peer):
    for text in ("One.", "Two."):
        response = await http.post(f"/v1/calls/{peer.id}/say", json={"text": text})
        assert response.status == 202
    await peer.hear(voiced=True)
    await peer.hear(voiced=False)
    assert [sentence.strip() for sentence, _ in app.engine.spoken[-2:]] == ["One.", "Two."]


async def test_interrupt_says_what_was_heard_and_is_idempotent(http, peer):
    url = f"/v1/calls/{peer.id}"
    assert await (await http.post(f"{url}/interrupt")).json() == {"interrupted": False}
    await http.post(f"{url}/say", json={"text": "A line to be cut."})
    for _ in range(15):
        await peer.hear(voiced=True)
    answer = await (await http.post(f"{url}/interrupt")).json()
    assert answer["interrupted"] is True
    assert answer["text"] == "A"
    assert 300 <= answer["audio_end_ms"] <= 900
    assert await (await http.post(f"{url}/interrupt")).json() == {"interrupted": False}
    for _ in range(3):  # what was on its way when the answer came
        await peer.receive()
    for _ in range(25):
        assert not any((await peer.receive()).payload)


async def test_hangup_gives_the_call_back(http, peer):
    assert (await http.post(f"/v1/calls/{peer.id}/hangup")).status == 202
    while (await peer.receive()).kind != Kind.HANGUP:
        pass
    say = await http.post(f"/v1/calls/{peer.id}/say", json={"text": "Too late."})
    assert say.status == 409
    assert (await say.json())["error"]["code"] == "conflict"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("POST", "/say"), ("POST", "/interrupt"), ("POST", "/hangup")],
)
@pytest.mark.parametrize("call_id", [str(uuid4()), "no-uuid"])
async def test_an_unknown_call_is_a_404_in_openais_shape(http, method, path, call_id):
    response = await http.request(method, f"/v1/calls/{call_id}{path}", json={"text": "x"})
    assert response.status == 404
    error = (await response.json())["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == "not_found"
    assert call_id in error["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", "body"),
        (b"text", "body"),
        (b"[]", "body"),
        (b"{}", "text"),
        (b'{"text": ""}', "text"),
        (b'{"text": "  "}', "text"),
        (b'{"text": 7}', "text"),
        (b'{"text": "x", "voice": 7}', "voice"),
        (b'{"text": "x", "voice": "nobody"}', "voice"),
        (b'{"text": "x", "speed": 2}', "speed"),
    ],
)
async def test_a_wrong_body_is_a_400_that_names_the_field(http, peer, body, param):
    response = await http.post(f"/v1/calls/{peer.id}/say", data=body, headers=JSON)
    assert response.status == 400
    error = (await response.json())["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param


@pytest.mark.parametrize("body", [b"", b"  \n "])
async def test_a_plain_body_with_nothing_to_say_is_a_400(http, peer, body):
    response = await http.post(f"/v1/calls/{peer.id}/say", data=body, headers={"Content-Type": "text/plain"})
    assert response.status == 400
    assert (await response.json())["error"]["param"] == "text"


async def test_a_plain_body_without_end_is_ended_at_the_limit(http, peer):
    ended = asyncio.Event()

    async def write():
        try:
            while True:
                yield b"x" * 999 + b" "
        finally:
            ended.set()

    response = await http.post(f"/v1/calls/{peer.id}/say", data=write(), headers={"Content-Type": "text/plain"})
    assert response.status == 400
    assert (await response.json())["error"]["code"] == "input_too_long"
    response.close()
    await asyncio.wait_for(ended.wait(), 10)


async def test_a_long_plain_body_lets_others_run_while_it_is_split(app, http, peer, monkeypatch):
    fed, turns = [], 0
    feed = SentenceSplitter.feed

    def count_turns():
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(count_turns)

    def record(self, piece):
        fed.append((turns, piece))
        return feed(self, piece)

    monkeypatch.setattr(SentenceSplitter, "feed", record)
    loop = asyncio.get_running_loop()
    loop.call_soon(count_turns)
    text = "\n" * 15_000 + "Here."  # nothing that would wait for the engine
    plain = {"Content-Type": "text/plain"}
    assert (await http.post(f"/v1/calls/{peer.id}/say", data=text, headers=plain)).status == 202
    await peer.hear(voiced=True)
    assert "".join(piece for _, piece in fed) == text
    assert max(len(piece) for _, piece in fed) <= 500
    assert len({turn for turn, _ in fed}) == len(fed), "two pieces in one turn of the loop"


async def test_the_apis_description_covers_every_call_operation(http):
    document = await http.get("/openapi.json")
    assert document.status == 200
    assert "/v1/calls" in (await document.json())["paths"]
    docs = await http.get("/docs")
    assert docs.status == 200
    page = await docs.text()
    for path in (await document.json())["paths"]:
        assert f"<code>{path}</code>" in page
    assert "list of <code>conversation.item.input_audio_transcription.completed</code> or" in page


async def test_health_tells_of_calls_and_engine(http, peer):
    response = await http.get("/health")
    assert response.status == 200
    health = await response.json()
    assert health["status"] == "ok"
    assert health["calls"] == 1
    assert health["engine"] == "fake"
