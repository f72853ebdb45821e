"""A server that is killed, or hangs, in mid-call: another one goes on with it, and with what was said so far."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from bridge.calls_api.call_token import dialplan_secret
from bridge.cluster.shared_calls import connect
from bridge.commands.dialplan_options import DialplanOptions, ServerAddress
from bridge.commands.dialplan_text import render, render_client
from tests.asterisk.ari import Ari
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.sip import dial
from tests.support.asterisk.talkspurt import CallsApi, Talkspurt, running
from tests.support.llm_server import LlmServer
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

ANSWER_S = 20.0
PATIENCE_S = 30.0
RESUMED_S = {signal.SIGKILL: 10.0, signal.SIGSTOP: 20.0}
"""Within which the caller is spoken to again. It takes less than 2 s where the cores are free, and one hangs that has
not answered for some seconds."""
KEY = "opensesame"
CALLS = """
[calls](+)
exten => _go.,1,Gosub(${EXTEN:2},s,1)
 same => n,UserEvent(Fallback,Call: ${TS_CALL})
 same => n,Wait(30)
"""
ANSWER = "I have written down the number forty-two, and I am looking for your order now. This takes me a moment or two."
COMPLETED = "conversation.item.input_audio_transcription.completed"


@pytest.fixture
async def model() -> AsyncIterator[LlmServer]:
    async with LlmServer(ANSWER, "We were at forty-two.") as server:
        yield server


def _context(way: str, server: Talkspurt) -> str:
    """Returns a name for the dialplan that no earlier test has given to other servers."""
    return f"cut{way}{server.http_port}"


@pytest.fixture(params=["audiosocket", "websocket"])
def servers(
    request: pytest.FixtureRequest, asterisk: Asterisk, redis: RedisServer, model: LlmServer, tmp_path: Path
) -> Iterator[tuple[Talkspurt, Talkspurt]]:
    """Two servers that share a Redis, and a dialplan that knows both."""
    settings = {
        "REDIS_URL": redis.url,
        "LLM_BASE_URL": model.url,
        "LLM_MODEL": "m",
        "GREETING": "Hello.",
        "API_KEY": KEY,
        "REQUIRE_REGISTRATION": "true",
    }
    etc = asterisk.folder / "etc"
    with ExitStack() as stack:
        pair = tuple(stack.enter_context(running(tmp_path, **settings)) for _ in range(2))
        options = DialplanOptions(
            [ServerAddress("127.0.0.1", server.http_port, server.audiosocket_port) for server in pair],
            asterisk=(22, 10),
            websocket=request.param == "websocket",
            resume=True,
            secret=True,
            context=_context(request.param, pair[0]),
            folder=str(etc),
        )
        (etc / f"{options.context}.secret").write_text(dialplan_secret(KEY))
        (etc / "extensions_custom.conf").write_text(CALLS + render(options, ""))
        if options.websocket:
            asterisk.may_connect(render_client(options))
        asterisk.cli("dialplan reload")
        try:
            yield pair[0], pair[1]
        finally:
            pair[0].kill()  # it may hang
    (etc / "extensions_custom.conf").unlink()
    asterisk.cli("dialplan reload")


@pytest.mark.parametrize("how", RESUMED_S, ids=["killed", "hung"])
async def test_the_other_server_goes_on_with_the_call(
    how: signal.Signals,
    request: pytest.FixtureRequest,
    asterisk: Asterisk,
    ari: Ari,
    redis: RedisServer,
    model: LlmServer,
    servers: tuple[Talkspurt, Talkspurt],
) -> None:
    first, second = servers
    way = request.node.callspec.params["servers"]
    key = {"Authorization": f"Bearer {KEY}"}
    async with (
        aiohttp.ClientSession(first.url, headers=key) as http,
        aiohttp.ClientSession(second.url, headers=key) as http_of_second,
        dial(asterisk.sip_address, f"go{_context(way, first)}", caller="5551234", name="Ann Lee") as call,
    ):
        await call.until_voice(ANSWER_S)
        (call_id,) = await CallsApi(http).active()
        await call.until_quiet(0.5, ANSWER_S)
        so_far = len(call.packets)
        event = {"type": COMPLETED, "transcript": "My number is 42."}
        async with http.post(f"/v1/calls/{call_id}/events", json=event) as response:
            assert response.status == 202
        await call.until_voice(ANSWER_S, after=so_far)
        await _written(redis, call_id, "number is")

        first.process.send_signal(how)
        lost_s, at = time.monotonic(), len(call.packets)
        other = CallsApi(http_of_second)

        async def goes_on() -> bool:
            return bool(await other.active())

        await eventually(goes_on, PATIENCE_S + RESUMED_S[how])
        (resumed,) = await other.active()
        await other.until_speaking(resumed, PATIENCE_S)
        await call.until_voice(PATIENCE_S, after=at + 10)
        took_s = time.monotonic() - lost_s
        assert took_s < RESUMED_S[how]
        print(f"spoken to again after {took_s:.1f} s")
        conversation = (await other.call(resumed))["conversation"]
        assert conversation["variables"]["continues"] == call_id
        assert conversation["variables"]["name"] == "Ann Lee"

        async def asked() -> bool:
            return len(model.requests) > 1

        await eventually(asked, PATIENCE_S)
        told = str(model.requests[-1]["messages"])
        assert "number is" in told
        assert "the line was cut off" in told
        transcript: list[dict[str, Any]] = []

        async def said() -> bool:
            transcript[:] = (await other.call(resumed))["conversation"]["transcript"]
            return bool(transcript)

        await eventually(said, ANSWER_S)
        assert transcript[0]["text"].startswith("Sorry, we were cut off."), "the phrase is history for the model"
        await other.hang_up(resumed)
        await call.until_ended(ANSWER_S)


async def _written(redis: RedisServer, call_id: str, text: str) -> None:
    shared = connect(redis.url, "", 0)

    async def is_written() -> bool:
        return text in str(await shared.memory(UUID(call_id)))

    await eventually(is_written, PATIENCE_S)
    await shared.close()
