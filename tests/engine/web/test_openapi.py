"""The OpenAPI document is true: schemathesis makes requests of it and finds nothing to complain of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.api import speech
from engine.api.requests import SpeechRequest
from engine.recording import InvalidRecording
from engine.speech import Voice
from engine.web import openapi
from tests.support.documented import schemathesis
from tests.support.speech_server import speech_server
from tests.support.tone_engine import ToneEngine

pytestmark = [  # a form's part without a readable name is answered, and aiohttp warns of it besides
    pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionHeader"),
    pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionParam"),
]
CONFIG = Path(__file__).parents[1] / "api" / "schemathesis.toml"


@pytest.fixture(autouse=True)
def each_file_is_decoded_once(monkeypatch):
    """A decoder is a process, and schemathesis sends the same few files hundreds of times."""
    known = {}

    async def read_upload(data, *, text=None, decode=speech.read_upload, **limits):
        if data not in known:
            try:
                known[data] = await decode(data, **limits)
            except InvalidRecording as error:
                known[data] = str(error)
        if isinstance(known[data], str):
            raise InvalidRecording(known[data])
        return replace(known[data], text=text)

    monkeypatch.setattr(speech, "read_upload", read_upload)


@pytest.fixture
async def server(tmp_path):
    async with speech_server(ToneEngine(), tmp_path, max_input_chars=300) as running:
        yield running


async def test_schemathesis_finds_nothing(server):
    code, output = await schemathesis(server.url, CONFIG)
    assert code == 0, output[-6_000:]
    assert "18 selected / 18 total" in output
    assert server.service.engine.open_streams == 0


async def test_schemathesis_finds_nothing_behind_a_key(tmp_path):
    async with speech_server(ToneEngine(), tmp_path, api_key="secret", max_input_chars=300) as server:
        key = "Authorization: Bearer secret"
        code, output = await schemathesis(server.url, CONFIG, "--header", key, "--phases", "coverage")
    assert code == 0, output[-6_000:]


async def test_the_document_is_made_of_the_model_that_validates(server):
    document = (await server.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    fields = document["components"]["schemas"]["SpeechRequest"]["properties"]
    assert set(fields) == set(SpeechRequest.model_fields)
    assert fields["input"]["maxLength"] == 300
    assert {"low", "alloy", "vivian"} <= set(fields["voice"]["anyOf"][0]["enum"])
    assert fields["response_format"]["default"] == "wav"
    for reference in references(document):
        assert reference.rpartition("/")[2] in document["components"]["schemas"]


async def test_the_description_is_made_again_only_for_other_voices(server, monkeypatch):
    made = []
    monkeypatch.setattr(
        openapi, "render_page", lambda *told, render=openapi.render_page: made.append(1) or render(*told)
    )
    for path in ("/docs", "/openapi.json"):
        await server.get(path)
    assert not made, "it was made at the start"
    voices = [*server.service.engine.voices(), Voice("newcomer", "Newcomer", ("en",))]
    monkeypatch.setattr(server.service.engine, "voices", lambda: voices)
    for path in ("/docs", "/openapi.json"):
        assert b"newcomer" in (await server.get(path)).body
    assert len(made) == 1


async def test_every_route_is_in_the_document(server):
    document = (await server.get("/openapi.json")).json()
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in server.runner.app.router.routes()
        if route.method != "HEAD"
    }
    told = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert served - told == {("get", "/v1/audio/speech/ws"), ("get", "/")}, "a WebSocket, and the way to the page"
    assert told - served == set()


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)
