"""A server with two workers behind a real Asterisk: both converse, and the loss of one is heard by its own callers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bridge.commands.dialplan_folder import install
from bridge.commands.dialplan_options import DialplanOptions, ServerAddress
from bridge.commands.dialplan_text import render
from tests.scenes.scene import RATE_HZ, is_whole, made
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.signals import is_milliwatt
from tests.support.asterisk.sip import SipCall, dial
from tests.support.asterisk.talkspurt import CallsApi, Talkspurt, running
from tests.support.llm_server import Answer, LlmServer

PATIENCE_S = 30.0
DIALPLAN = "[calls](+)\nexten => workers,1,Gosub(workers,s,1)\n same => n,Milliwatt()\n"
"""The dialplan's own fallback is a tone."""
CALLERS = {"5551": "My name is Ann.", "5552": "I have lost my key."}
"""Each caller's number, and what is said."""
NOTICE = "Please note our new opening hours: we are open from nine to five on weekdays, and on Saturday until noon."
HEARD = "I have heard this: "
TONE_PACKETS = 10


def respond(messages: list[dict[str, Any]]) -> Answer:
    return Answer(HEARD + messages[-1]["content"])


@pytest.fixture
async def server(asterisk: Asterisk, tmp_path: Path) -> AsyncIterator[Talkspurt]:
    """One with two workers, which Asterisk's dialplan knows."""
    etc = asterisk.folder / "etc"
    settings = {"WORKERS": "2", "GREETING": "Good morning.", "FILLER": "", "NO_INPUT_TIMEOUT_MS": "0", "LLM_MODEL": "m"}
    async with LlmServer(respond=respond) as model:
        with running(tmp_path, LLM_BASE_URL=model.url, **settings) as server:
            address = ServerAddress("127.0.0.1", server.http_port, server.audiosocket_port)
            options = DialplanOptions([address], asterisk=(22, 10), context="workers")
            (etc / "extensions_custom.conf").write_text(DIALPLAN)
            install(etc, "workers", render(options, ""), "")
            asterisk.cli("dialplan reload")
            yield server
    (etc / "extensions_custom.conf").unlink()
    asterisk.cli("dialplan reload")


async def agent_is_silent(http: aiohttp.ClientSession, call_id: str, phone: SipCall) -> int:
    """Waits until the agent has said all, and returns how many packets the caller has heard by then."""
    await CallsApi(http).until_silent(call_id, PATIENCE_S)
    await phone.until_quiet(0.5, PATIENCE_S, after=len(phone.packets))
    return len(phone.packets)


async def converses(http: aiohttp.ClientSession, call_id: str, phone: SipCall, words: str) -> None:
    """The caller says something once the agent is silent, and hears the answer."""
    before = await agent_is_silent(http, call_id, phone)
    completed = "conversation.item.input_audio_transcription.completed"
    for event in (
        {"type": "input_audio_buffer.speech_started"},
        {"type": "input_audio_buffer.speech_stopped"},
        {"type": completed, "transcript": words},
    ):
        async with http.post(f"/v1/calls/{call_id}/events", json=event) as response:
            assert response.status == 202
    await phone.until_voice(PATIENCE_S, after=before)
    await agent_is_silent(http, call_id, phone)
    transcript = (await CallsApi(http).call(call_id))["conversation"]["transcript"]
    assert [(one["who"], one["text"]) for one in transcript[-2:]] == [("user", words), ("agent", f"{HEARD}{words}")]


def hears_tone(phone: SipCall) -> bool:
    return is_milliwatt(phone.heard(phone.packets[-TONE_PACKETS:]).pcm, phone.codec.rate_hz)


async def test_both_workers_converse_and_one_that_is_killed_costs_the_other_caller_nothing(
    asterisk: Asterisk, server: Talkspurt
) -> None:
    async with AsyncExitStack() as stack, aiohttp.ClientSession(server.url) as http:
        api = CallsApi(http)
        placed = (stack.enter_async_context(dial(asterisk.sip_address, "workers", caller=each)) for each in CALLERS)
        phones = dict(zip(CALLERS, await asyncio.gather(*placed), strict=True))
        await asyncio.gather(*(phone.until_voice(PATIENCE_S) for phone in phones.values()))
        ids = {(await api.call(each))["conversation"]["variables"]["from"]: each for each in await api.active()}
        at = {each: (await server.logged("call started", PATIENCE_S, call=ids[each]))["worker"] for each in CALLERS}
        assert len(set(at.values())) == 2, "each worker has one of the two calls"
        await asyncio.gather(*(converses(http, ids[each], phones[each], said) for each, said in CALLERS.items()))

        cut, other = CALLERS
        starts = {each: len(phone.packets) for each, phone in phones.items()}
        for each in CALLERS:
            await api.say(ids[each], NOTICE)
        for each in CALLERS:
            await phones[each].until_voice(PATIENCE_S, after=starts[each])
        os.kill(at[cut], signal.SIGKILL)
        await phones[cut].until(lambda: hears_tone(phones[cut]), PATIENCE_S)
        assert (await api.active()) == [ids[other]]
        await agent_is_silent(http, ids[other], phones[other])
        heard = phones[other].heard(phones[other].packets[starts[other] :]).pcm
        assert is_whole(await made(server, NOTICE), heard, RATE_HZ)
        await converses(http, ids[other], phones[other], "I am still here.")
