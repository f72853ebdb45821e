"""What a caller on a telephone hears who waits: the sound of a thinking agent, through a real Asterisk."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.signals import share_db
from tests.support.asterisk.sip import dial
from tests.support.asterisk.talkspurt import CallsApi, running
from tests.support.llm_server import Answer, LlmServer

ANSWER_S = 15.0
PAUSE_S = 0.3
MANY = 100
"""Packets, 2 s of them."""


async def test_a_caller_hears_a_soft_sound_until_the_model_answers(
    asterisk: Asterisk, tmp_path: Path, call_id: str
) -> None:
    settings = {"GREETING": "Hello.", "THINKING_SOUND": "soft", "THINKING_SOUND_DB": "-25", "FILLER_AFTER_MS": "0"}
    async with LlmServer(Answer("Well, ", rest="that is all.")) as model:
        model_settings = {"LLM_BASE_URL": model.url, "LLM_MODEL": "m", "LLM_TIMEOUT_MS": "60000"}
        with running(tmp_path, **settings, **model_settings) as server:
            async with (
                aiohttp.ClientSession(server.url) as http,
                dial(asterisk.sip_address, server.extension("try", call_id)) as call,
            ):
                api = CallsApi(http)
                await call.until_voice(ANSWER_S)
                await api.until_silent(call_id, ANSWER_S)
                greeted = await call.until_quiet(PAUSE_S, ANSWER_S, after=len(call.packets))
                await call.send_dtmf("1")
                sounding = await call.until_voice(ANSWER_S, after=greeted)
                await call.until(lambda: len(call.packets) > sounding + MANY, ANSWER_S)
                heard = call.heard(call.packets[sounding : sounding + MANY]).pcm
                model.go_on.set()

                assert share_db(heard, call.codec.rate_hz, 200, 350) > -1, "the chord, and no voice"
                await api.until_speaking(call_id, ANSWER_S)
                await api.until_silent(call_id, ANSWER_S)
                conversation = (await api.call(call_id))["conversation"]
    assert [entry["text"] for entry in conversation["transcript"] if entry["who"] == "agent"] == [
        "Hello.",
        "Well, that is all.",
    ]
