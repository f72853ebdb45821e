"""Secrets are planted in settings, addresses and what services answer, and looked for in everything that is logged."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator

import aiohttp
import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from bridge.__main__ import main
from bridge.config import Settings
from bridge.hearing.asr.client import AsrClient
from bridge.hearing.asr.deepgram import Deepgram
from bridge.hearing.asr.protocol import AsrOptions
from bridge.logs import set_up_logs
from bridge.masking import MASK, Masker, masked_url, secrets_of

SECRETS = ["Key-of-ours-1", "Key+of/the=ASR", "pass:w@rd", "tok&en-2", "Key-of-the-LLM"]
OURS, ASR, PASSWORD, TOKEN, LLM = SECRETS
ADDRESS = "user:pass%3Aw%40rd@asr.example/listen?model=nova-2&access_token=tok%26en-2"
SETTINGS = Settings.of(
    api_key=OURS, asr_api_key=ASR, asr_url="ws://asr.example/listen?model=nova-2&access_token=tok%26en-2",
    llm_api_key=LLM, llm_model="m", llm_base_url="http://llm.example/v1",
    webhook_url="https://user:pass%3Aw%40rd@hooks.example/x",
)  # fmt: skip


@pytest.fixture(params=["json", "text"])
def logs(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Returns what is logged, as `serve` sets it up, for machines and for people."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    set_up_logs(request.param, "debug", Masker(secrets_of(SETTINGS.values())))
    logs = io.StringIO()
    handler = root.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(logs)
    yield logs
    root.handlers[:] = handlers
    root.setLevel(level)


def assert_kept(logged: str) -> None:
    for secret in (*SECRETS, "pass%3Aw%40rd", "tok%26en-2", "Key%2Bof", "dXNlcjpwYXNzOndAcmQ="):
        assert secret not in logged


def test_no_secret_of_the_settings_is_logged_whoever_tells_it(logs: io.StringIO) -> None:
    told = f"{' '.join(SECRETS)} ws://{ADDRESS} Basic dXNlcjpwYXNzOndAcmQ="
    structlog.get_logger().warning("a service said", error=told, nested={"headers": [told]})
    logging.getLogger("library").warning("%s", told)
    try:
        raise ValueError(told)
    except ValueError:
        structlog.get_logger().exception("ours")
        logging.getLogger("library").exception("theirs")
    logged = logs.getvalue()
    assert_kept(logged)
    assert logged.count(MASK) >= 4 * len(SECRETS)
    assert "nova-2" in logged, "what is no secret can be read"


@pytest.mark.parametrize("how", ["refuses", "echoes"])
async def test_a_recogniser_that_tells_our_key_back_has_it_not_logged(logs: io.StringIO, how: str) -> None:
    connections, again = 0, asyncio.Event()

    async def serve(request: web.Request) -> web.StreamResponse:
        nonlocal connections
        connections += 1
        if connections == 2:
            again.set()  # by now it has been logged how the first one ended
        if how == "refuses":
            return web.Response(status=401, reason=f"no such key {ASR}")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "Error", "description": f"{request.headers['Authorization']} {request.url}"})
        return socket

    app = web.Application()
    app.router.add_get("/listen", serve)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        url = f"ws://127.0.0.1:{server.port}/listen?access_token=tok%26en-2"
        client = AsrClient(Deepgram, url, AsrOptions(api_key=ASR), http, lambda event: None)
        task = asyncio.create_task(client.run())
        await asyncio.wait_for(again.wait(), 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert_kept(logs.getvalue())
    assert "recogniser" in logs.getvalue()
    assert MASK in logs.getvalue()


def test_a_wrong_address_is_refused_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ASR_URL", "WEBHOOK_URL", "LLM_BASE_URL"):
        monkeypatch.setenv(name, f"gopher://{ADDRESS}")
    assert main(["serve", "--check"]) == 2
    said = capsys.readouterr().err
    assert_kept(said)
    assert "asr.example/listen" in said


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("ws://asr:8080/v1", "ws://asr:8080/v1"),
        ("wss://token@asr/v1?x=y#z", "wss://***@asr/v1?***"),
        ("http://[", "***"),
        ("", ""),
    ],
)
def test_addresses(url: str, masked: str) -> None:
    assert masked_url(url) == masked


def test_keys_among_headers_and_in_an_endpoint_are_secrets_too() -> None:
    headers = {"otel_exporter_otlp_headers": SecretStr("api-key=Key-1, x=Key-2"), "otel_endpoint": "http://a:Key-3@b"}
    assert Masker(secrets_of(headers))("Key-1 Key-2 Key-3") == " ".join([MASK] * 3)


def test_what_is_too_short_to_be_a_secret_is_left_alone() -> None:
    masker = Masker(secrets_of({"api_key": SecretStr("k"), "asr_api_key": SecretStr("")}))
    assert masker("the key") == "the key"
