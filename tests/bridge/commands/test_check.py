"""`serve --check` asks the language model once and says what it found."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bridge.commands.check import check, check_models
from bridge.config import Settings
from tests.support.llm_server import Answer, LlmServer, ToolCall


def settings(first: LlmServer, second: LlmServer | None = None) -> Settings:
    values: dict[str, Any] = {"llm_base_url": first.url, "llm_model": "m"}
    if second is not None:
        values |= {"llm_fallback_base_url": second.url, "llm_fallback_model": "m2"}
    return Settings.of(**values)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (Answer("One two three.", [ToolCall("hangup")]), ["streams (3 pieces)", "calls tools"]),
        (Answer("Hello."), ["does not stream", "called none when it was asked to"]),
        (Answer(tools=[ToolCall("hangup")]), ["calls tools"]),
    ],
)
async def test_it_says_what_an_answer_shows(
    answer: Answer, found: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    async with LlmServer(answer) as server:
        assert await check_models(settings(server)) == 0
    told = capsys.readouterr().out
    assert told.startswith("LLM_MODEL=m: ")
    for words in found:
        assert words in told
    assert len(server.requests) == 1


async def test_it_tells_the_time_to_the_first_token(capsys: pytest.CaptureFixture[str]) -> None:
    async with LlmServer(Answer("One two.", first_token_s=0.2)) as server:
        await check_models(settings(server))
    waited_ms = int(capsys.readouterr().out.partition("first token after ")[2].split()[0])
    assert waited_ms >= 200


async def test_it_says_what_a_server_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(body: dict[str, Any]) -> tuple[int, str] | None:
        if "tools" in body:
            return 400, "this model does not support tools"
        return (400, "System role not supported") if body["messages"][0]["role"] == "system" else None

    async with LlmServer("One two.", refuse=refuse) as server:
        assert await check_models(settings(server)) == 0
    told = capsys.readouterr().out
    assert "cannot transfer or hang up" in told
    assert "has the prompt in the caller's first message" in told


async def test_a_model_that_says_nothing_does_not_answer(capsys: pytest.CaptureFixture[str]) -> None:
    async with LlmServer("<think>Hm</think>") as server:
        assert await check_models(settings(server)) == 1
    assert "answered nothing" in capsys.readouterr().err


async def test_a_model_that_does_not_answer_is_told_and_the_other_asked_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with LlmServer(Answer(status=401)) as first, LlmServer("One two.") as second:
        assert await check_models(settings(first, second)) == 1
    out, err = capsys.readouterr()
    assert err == "LLM_MODEL=m: the language model failed: AuthenticationError, HTTP 401\n"
    assert "LLM_FALLBACK_MODEL=m2: first token" in out


def test_without_a_model_nothing_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(Settings.of(engine="hibari")) == 0
    assert capsys.readouterr().out == "settings are right\n"


async def test_the_command_asks(capsys: pytest.CaptureFixture[str]) -> None:
    async with LlmServer("One two.") as server:
        assert await asyncio.to_thread(check, settings(server)) == 0
    assert "settings are right\nLLM_MODEL=m: first token" in capsys.readouterr().out


async def test_it_asks_the_models_of_all_agents_and_each_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with LlmServer("One two.") as server, LlmServer("One two.") as other:
        (tmp_path / "agents.yaml").write_text(f"desk: {{}}\nshop: {{llm_base_url: '{other.url}', llm_model: large}}\n")
        values = {"llm_base_url": server.url, "llm_model": "m", "agents": tmp_path / "agents.yaml"}
        assert await check_models(Settings.of(**values)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": first")[0] for line in lines] == ["LLM_MODEL=m", "shop: LLM_MODEL=large"]
