"""The token, other sites' pages, and the shape of every error of the application."""

from __future__ import annotations

import asyncio
import base64
import io

import aiohttp
import pytest
import soundfile
from aiohttp import web

from engine.api import add_speech_routes
from engine.settings import SpeechSettings, VoiceSettings
from engine.speech import Style
from tests.support.speech_server import SpeechServer, speech_server
from tests.support.tone_engine import RATE_HZ, sound_of

KEY = "a secret — with ümlauts"
SITE = "https://example.org"


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {KEY}", KEY, f"Bearer {KEY}x", f"Bearer {KEY[:-1]}"],
)
async def test_without_the_key_nothing_but_health_and_the_page_is_open(engine, tmp_path, header):
    headers = {} if header is None else {"Authorization": header}
    async with speech_server(engine, tmp_path, api_key=KEY) as server:
        service_paths = {resource.canonical for resource in server.runner.app.router.resources()}
        assert len(service_paths) >= 14
        for path in service_paths - {"/health"}:
            for method in ("POST", "DELETE") if path in ("/", "/docs") else ("GET", "POST", "DELETE"):
                answer = await server.request(method, path, headers=headers)
                assert (answer.status, answer.json()["code"]) == (401, "UNAUTHORIZED"), (method, path)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert (await server.get("/health", headers=headers)).status == 200
        assert (await server.get("/docs", headers=headers)).status == 200
        assert (await server.get("/nothing", headers=headers)).status == 401
    assert engine.spoken == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_with_the_key_everything_is_open(engine, tmp_path, scheme):
    async with speech_server(engine, tmp_path, api_key=KEY) as server:
        headers = {"Authorization": f"{scheme} {KEY}"}
        for path in ("/v1/models", "/docs", "/openapi.json", "/metrics", "/health"):
            assert (await server.get(path, headers=headers)).status == 200
        assert (await server.post("/v1/audio/speech", {"input": "Hi."}, headers=headers)).status == 200
        async with server.session.ws_connect(server.url + "/v1/audio/speech/ws", headers=headers) as socket:
            await socket.send_json({"input": "Hi."})
            assert await socket.receive_bytes()


async def test_the_address_alone_leads_to_the_page(server):
    answer = await server.get("/", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (302, "/docs")


async def test_a_page_brings_the_key_of_its_websocket_in_a_subprotocol(engine, tmp_path):
    async with speech_server(engine, tmp_path, api_key=KEY) as server:
        url = server.url + "/v1/audio/speech/ws"
        encoded = base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("=")
        async with server.session.ws_connect(url, protocols=("talkspurt", f"bearer.{encoded}")) as socket:
            assert socket.protocol == "talkspurt"
            await socket.send_json({"input": "Hi."})
            assert await socket.receive_bytes()
        for wrong in ("bearer.AAAA", "bearer.!", "bearer.", "talkspurt"):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
                await server.session.ws_connect(url, protocols=("talkspurt", wrong))
        asked = {"Sec-WebSocket-Protocol": f"bearer.{encoded}"}
        assert (await server.get("/v1/models", headers=asked)).status == 401


async def test_the_open_page_names_no_stored_voice(engine, tmp_path):
    recording = io.BytesIO()
    sound = sound_of("A recording that lasts long enough, I hope so. " * 2, Style())
    soundfile.write(recording, sound, RATE_HZ, format="WAV")
    headers = {"Authorization": f"Bearer {KEY}"}
    async with speech_server(engine, tmp_path, api_key=KEY) as server:
        form = aiohttp.FormData()
        form.add_field("file", recording.getvalue(), filename="a.wav")
        stored = await server.post("/v1/audio/voices/the-ceo", data=form, headers=headers)
        assert stored.status == 201
        assert b"the-ceo" not in (await server.get("/docs")).body
        assert b"the-ceo" in (await server.get("/openapi.json", headers=headers)).body


async def test_the_routes_of_others_are_guarded_too(engine, tmp_path):
    app = web.Application()
    add_speech_routes(app, engine, SpeechSettings(api_key=KEY), VoiceSettings(voices_dir=tmp_path))

    async def break_down(request):
        raise ZeroDivisionError

    app.router.add_get("/v1/calls", break_down)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        server = SpeechServer(runner, session)
        assert (await server.get("/v1/calls")).status == 401
        broken = await server.get("/v1/calls", headers={"Authorization": f"Bearer {KEY}"})
        assert (broken.status, broken.json()["code"]) == (500, "INTERNAL_ERROR")
    await runner.cleanup()


async def test_without_origins_there_is_no_cors(engine, tmp_path):
    async with speech_server(engine, tmp_path) as server:
        answer = await server.get("/v1/models", headers={"Origin": SITE})
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
        asked = {"Origin": SITE, "Access-Control-Request-Method": "POST"}
        preflight = await server.request("OPTIONS", "/v1/audio/speech", headers=asked)
        assert preflight.status == 405
        assert not [name for name in preflight.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("path", ["/v1/audio/speech", "/cache/clear"])
async def test_a_strange_page_cannot_act_through_its_visitors_browser(engine, tmp_path, path):
    async with speech_server(engine, tmp_path) as server:
        answer = await server.post(path, {"input": "Hi."}, headers={"Origin": SITE})
        assert answer.status == 403
        assert "CORS_ORIGINS" in answer.json()["message"]
        own = await server.post(path, {"input": "Hi."}, headers={"Origin": server.url})
        assert own.status == 200
        refused = await server.get(
            "/v1/audio/speech/ws",
            headers={
                "Origin": SITE,
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            },
        )
        assert refused.status == 403


@pytest.mark.parametrize(("origins", "allowed"), [(SITE, SITE), (f"https://other.org, {SITE}", SITE), ("*", "*")])
async def test_pages_that_are_listed_may_call(engine, tmp_path, origins, allowed):
    async with speech_server(engine, tmp_path, cors_origins=origins, api_key=KEY) as server:
        asked = {
            "Origin": SITE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
        }
        preflight = await server.request("OPTIONS", "/v1/audio/speech", headers=asked)
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Origin"] == allowed
        assert preflight.headers["Access-Control-Allow-Headers"] == asked["Access-Control-Request-Headers"]
        assert preflight.headers["Access-Control-Allow-Methods"] == "POST"
        headers = {"Origin": SITE, "Authorization": f"Bearer {KEY}"}
        answer = await server.post("/v1/audio/speech", {"input": "Hi."}, headers=headers)
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == allowed
        assert "X-Sample-Rate" in answer.headers["Access-Control-Expose-Headers"]
        assert answer.headers["Vary"] == "Origin"
        refused = await server.post("/v1/audio/speech", {"input": "Hi."}, headers={"Origin": SITE})
        assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, allowed)


async def test_a_page_that_is_not_listed_may_not(engine, tmp_path):
    async with speech_server(engine, tmp_path, cors_origins="https://other.org") as server:
        answer = await server.get("/v1/models", headers={"Origin": SITE})
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_every_answer_has_a_name(engine, tmp_path):
    async with speech_server(engine, tmp_path) as server:
        answers = [await server.get("/health"), await server.speech(), await server.get("/nothing")]
        assert len({answer.headers["X-Request-Id"] for answer in answers}) == 3


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/nothing", 404, None),
        ("GET", "/v1/audio/speech", 405, "POST"),
        ("POST", "/health", 405, "GET,HEAD"),
        ("PUT", "/v1/audio/voices/anna", 405, "DELETE,POST"),
    ],
)
async def test_what_is_not_there_is_told_in_the_same_shape(engine, tmp_path, method, path, status, allowed):
    async with speech_server(engine, tmp_path) as server:
        answer = await server.request(method, path)
        assert answer.status == status
        error = answer.json()
        assert set(error) == {"error", "code", "message", "context", "statusCode"}
        assert answer.headers.get("Allow") == allowed


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.8.9.1:80", "[::1]:8000", "tts.example", "box"]
)
async def test_a_host_that_is_this_server_s_is_served(engine, tmp_path, host):
    async with speech_server(engine, tmp_path, allowed_hosts="tts.example, BOX") as server:
        assert (await server.get("/v1/models", headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "10.0.0.1:8000", "localhost.evil.example", "[", "[::1", "a@localhost", ""]
)
@pytest.mark.parametrize("path", ["/health", "/v1/audio/speech", "/nothing"])
async def test_another_host_is_answered_421_in_openais_shape(engine, tmp_path, host, path):
    """As by DNS rebinding: the page's own site has this server's address."""
    async with speech_server(engine, tmp_path, allowed_hosts="tts.example") as server:
        headers = {"Host": host, "Origin": f"http://{host}"}
        answer = await server.post(path, {"input": "Hi."}, headers=headers)
        assert answer.status == 421
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert "ALLOWED_HOSTS" in answer.json()["error"]["message"]
        assert answer.headers["Connection"] == "close"
    assert engine.spoken == []


async def test_any_host_may_be_allowed(engine, tmp_path):
    async with speech_server(engine, tmp_path, allowed_hosts="*") as server:
        assert (await server.get("/v1/models", headers={"Host": "evil.example"})).status == 200


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("origin", ["http://[", "http://[1]:2]", "http://[::1"])
async def test_a_malformed_origin_is_the_clients_fault(engine, tmp_path, method, origin):
    async with speech_server(engine, tmp_path) as server:
        answer = await server.request(method, "/v1/models", headers={"Origin": origin})
        assert 400 <= answer.status < 500


async def test_a_health_check_without_a_host_is_answered(engine, tmp_path):
    """HAProxy's, for example, in HTTP/1.0: no page of a browser can leave the header out."""
    async with speech_server(engine, tmp_path) as server:
        reader, writer = await asyncio.open_connection(*server.runner.addresses[0][:2])
        writer.write(b"GET /health HTTP/1.0\r\n\r\n")
        assert b" 200 OK" in await asyncio.wait_for(reader.readline(), 30)
        writer.close()
