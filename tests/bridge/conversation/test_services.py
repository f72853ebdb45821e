"""The services that conversations share start, or say what is missing, and close whatever was opened."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from bridge.conversation.call_rules import end_rules
from bridge.conversation.services import Services
from bridge.conversation.settings import ConversationSettings
from bridge.hearing import smart_turn
from bridge.hearing.asr import moonshine
from bridge.hearing.asr.recognizer_pool import RecognizerPool
from bridge.line.audiosocket import Kind
from tests.support.llm_server import Answer, LlmServer, ToolCall
from tests.support.serving import serving
from tests.support.whole_app import whole_app


def services(**settings: object) -> Services:
    return Services(ConversationSettings.model_validate(settings), CollectorRegistry())


async def test_closing_what_never_started_does_nothing() -> None:
    with capture_logs() as logs:
        await services().close()
    assert logs == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moonshine.importlib.util, "find_spec", lambda name: None)
    shared = services(asr_protocol="embedded")
    with pytest.raises(OSError, match=r"pip install '.*\[demo\]'"):
        await shared.start()
    await shared.close()


async def test_without_its_model_the_end_of_a_turn_is_told_by_silence_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(smart_turn, "weights", lambda: None)
    monkeypatch.setattr(RecognizerPool, "start", AsyncMock())
    for settings, lines in (({}, 1), ({"end_of_turn": "silence"}, 0), ({"asr_language": "de"}, 0)):
        shared = services(asr_protocol="embedded", **settings)
        with capture_logs() as logs:
            await shared.start()
        await shared.close()
        said = [entry for entry in logs if "silence alone" in entry["event"]]
        assert len(said) == lines
        assert all("pip install --no-deps pipecat-ai" in entry["reason"] for entry in said)


@pytest.mark.parametrize(
    ("settings", "has_meaning"),
    [
        ({"asr_protocol": "qwen3-asr", "asr_language": "en"}, True),
        ({"asr_protocol": "vllm-realtime", "asr_language": "en"}, True),
        ({"asr_protocol": "qwen3-asr"}, False),
        ({"asr_protocol": "qwen3-asr", "asr_language": "fr"}, False),
        ({"asr_protocol": "qwen3-asr", "asr_language": "en", "end_of_turn": "silence"}, False),
        ({"asr_protocol": "deepgram", "asr_language": "en"}, False),
    ],
)
async def test_a_service_that_is_told_when_speech_ends_has_turns_ended_by_meaning(
    settings: dict[str, object], has_meaning: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smart_turn, "weights", lambda: None)
    shared = services(asr_url="ws://127.0.0.1:1", **settings)
    with capture_logs() as logs:
        await shared.start()
    await shared.close()
    assert ["silence alone" in entry["event"] for entry in logs].count(True) == has_meaning, "the model was asked for"


@pytest.mark.parametrize(
    ("variables", "text", "wait_ms"),
    [
        ({}, "That is a", 900),
        ({"patience_ms": "1500"}, "That is a", 1_500),
        ({"patience_ms": "-1"}, "That is a", 900),
        ({"patience_ms": "9999999"}, "That is a", 900),
        ({"expect_digits": "4"}, "1 2", 2_500),
        ({"expect_digits": "4"}, "1 2 3 4", 224),
        ({"digits_end": "hash"}, "1 2 3 4", 2_500),
        ({"digits_end": "hash"}, "1 2 3 4 hash", 224),
    ],
)
def test_a_call_says_how_long_its_caller_may_pause(variables: dict[str, str], text: str, wait_ms: int) -> None:
    settings = ConversationSettings.model_validate({"digits_pause_ms": 2_500})
    assert end_rules(settings, variables).wait_ms(text, 0.99) == wait_ms


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"asr_protocol": "embedded", "asr_model": "large"}, "must be one of auto, moonshine, whisper"),
        ({"asr_url": "http://asr"}, "must start with ws"),
        ({"llm_base_url": "localhost:8000"}, "must start with http"),
        ({"llm_base_url": "http://x/v1"}, "must name the model"),
        ({"llm_fallback_base_url": "http://y/v1", "llm_fallback_model": "m"}, "must be empty without LLM_BASE_URL"),
        (
            {"llm_base_url": "http://x/v1", "llm_model": "m", "llm_fallback_base_url": "http://y/v1"},
            "must name the model that LLM_FALLBACK_BASE_URL serves",
        ),
        ({"llm_extra_body": "{"}, "must be a JSON object: "),
        ({"llm_extra_body": "[]"}, "must be a JSON object"),
        ({"llm_extra_body": '{"model": "x", "tools": []}'}, "must not name model, tools"),
        ({"llm_send_tools": "perhaps"}, "'auto', 'true' or 'false'"),
        ({"llm_reasoning_effort": "very high"}, "pattern"),
        ({"backchannels": "en,xx"}, "must be auto, none, or languages out of en, de"),
        ({"backchannels": "auto,en"}, "must be auto, none, or languages out of en, de"),
        ({"transfer_allow": "400"}, "must be an allow-list"),
        *(
            ({"fallback_destination": value}, "context,extension,priority")
            for value in ("400", "x=a,400,1", "a,400,1; b,400,1", "a,4??,1", "a,400,1\n", "a,${X},1")
        ),
        ({"script": Path("/nowhere.yaml")}, "must be a dialogue: .*No such file"),
        ({"llm_tools": Path("/nowhere.yaml")}, "must be a tool file: .*No such file"),
    ],
)
def test_a_wrong_setting_says_what_is_allowed(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConversationSettings.model_validate(settings)


async def test_a_cookie_of_one_call_is_not_sent_in_another(tmp_path: Path) -> None:
    cookies: list[str | None] = []

    async def handle(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(headers={"Set-Cookie": "caller=ada; Path=/"})

    async with serving(handle) as url, LlmServer(*[Answer(tools=[ToolCall("ask")]), "Done."] * 2) as model:
        url = url.replace("127.0.0.1", "localhost")  # cookies of an address alone would not be kept anyway
        (tmp_path / "tools.yaml").write_text(f"tools: [{{name: ask, description: d, url: '{url}'}}]")
        settings = {"llm_base_url": model.url, "llm_model": "m", "llm_tools": tmp_path / "tools.yaml", "filler": ""}
        async with whole_app(**settings) as bench:
            said = {"type": "conversation.item.input_audio_transcription.completed", "transcript": "Ask."}
            for item in ("i1", "i2"):
                peer = await bench.call()
                await bench.post(f"/v1/calls/{peer.id}/events", {**said, "item_id": item})
                await peer.hear(voiced=True)
                await peer.close()
    assert cookies == [None, None]


async def test_another_system_is_told_of_start_and_end_and_prometheus_of_the_turn(tmp_path: Path) -> None:
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        told.put_nowait(await request.json())
        return web.Response()

    hook = web.Application()
    hook.router.add_post("/", receive)
    runner = web.AppRunner(hook)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    before = datetime.now(UTC)
    async with whole_app(greeting="Hi.", webhook_url=url, record_dir=tmp_path) as bench:
        peer = await bench.call(account="77")
        await peer.hear(voiced=True)
        peer.send(Kind.DTMF, b"4")
        await peer.close()
        started, ended = await told.get(), await told.get()
        assert (started["type"], started["variables"]["account"]) == ("call.started", "77")
        assert (ended["type"], ended["reason"]) == ("call.ended", "caller hung up")
        assert ended["call_id"] == str(peer.id)
        times = [datetime.fromisoformat(text) for text in (ended["started_at"], ended["ended_at"])]
        assert started["started_at"] == ended["started_at"]
        assert before - timedelta(milliseconds=1) <= times[0] <= times[1] <= datetime.now(UTC)
        lasted_ms = (times[1] - times[0]).total_seconds() * 1000
        assert 0 < ended["duration_ms"] <= lasted_ms + 40, "the sound of a call is at most two frames ahead"
        assert [key["digit"] for key in ended["keys"]] == ["4"]
        assert 0 < ended["keys"][0]["at_ms"] <= ended["duration_ms"]
        assert Path(ended["recording"]) == tmp_path / f"{peer.id}.wav"
        async with bench.http.get("/metrics") as response:
            metrics = await response.text()
        assert 'talkspurt_turn_stage_seconds_count{stage="first_frame"} 1.0' in metrics
    await runner.cleanup()


async def test_prometheus_is_told_how_soon_the_agent_was_silent() -> None:
    count = "talkspurt_interrupt_to_silence_seconds_count"
    async with whole_app(greeting="A long greeting, of which not all is heard.") as bench:

        async def metrics() -> list[str]:
            async with bench.http.get("/metrics") as response:
                return (await response.text()).splitlines()

        peer = await bench.call()
        await peer.hear(voiced=True)
        assert f"{count} 0.0" in await metrics()
        status, _ = await bench.post(f"/v1/calls/{peer.id}/interrupt")
        assert status == 200
        await peer.hear(voiced=False)
        lines = await metrics()
        assert f"{count} 1.0" in lines
        (total,) = (float(line.split()[1]) for line in lines if line.startswith(count.replace("count", "sum")))
        (measured_ms,) = (await bench.get(f"/v1/calls/{peer.id}"))["conversation"]["interrupt_to_silence_ms"]
        assert total * 1000 == pytest.approx(measured_ms, abs=0.1)
        await peer.close()


async def test_a_call_asks_the_models_as_the_settings_say() -> None:
    """The extra fields are for the first server alone; the second one might refuse them."""
    settings = {
        "llm_model": "m", "llm_extra_body": '{"top_k": 5}', "llm_reasoning_effort": "low", "llm_send_tools": "false",
        "llm_max_completion_tokens": 90, "llm_fallback_model": "m2", "llm_fallback_api_key": "k2", "filler": "",
    }  # fmt: skip
    async with (
        LlmServer(Answer(status=400)) as first,
        LlmServer("Hello.") as second,
        whole_app(llm_base_url=first.url, llm_fallback_base_url=second.url, **settings) as bench,
    ):
        peer = await bench.call()
        said = {
            "type": "conversation.item.input_audio_transcription.completed",
            "transcript": "Hi.",
            "item_id": "i",
        }
        await bench.post(f"/v1/calls/{peer.id}/events", said)
        await peer.hear(voiced=True)
        await peer.close()
    (asked,), (again,) = first.requests, second.requests
    assert (asked["top_k"], asked["reasoning_effort"], asked["max_completion_tokens"]) == (5, "low", 90)
    assert "tools" not in asked
    assert (again["model"], again["max_completion_tokens"]) == ("m2", 90)
    assert not {"top_k", "reasoning_effort"} & set(again)
