"""Keys, passwords, and the words of callers, models and tools are not in the log at its usual level."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bridge.conversation import webhooks
from tests.support.llm_server import Answer, LlmServer, ToolCall
from tests.support.serving import serving
from tests.support.whole_app import Bench, whole_app

SECRET = "xyzzyplugh"
COMPLETED = "conversation.item.input_audio_transcription.completed"


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The lines that are logged meanwhile; web-hooks are tried once."""
    monkeypatch.setattr(webhooks, "RETRY_S", ())
    with capture_logs() as lines:
        yield lines


def told(lines: list[Any]) -> str:
    """Returns the log as it is by default: without its debug lines."""
    return "\n".join(str(line) for line in lines if line["log_level"] != "debug")


async def say(bench: Bench, *said: str) -> AsyncIterator[None]:
    """Has a caller say this, one thing after the other; yields when each has been answered."""
    peer = await bench.call(name=f"Ada {SECRET}")
    for index, text in enumerate(said):
        event = {"type": COMPLETED, "transcript": text, "item_id": f"i{index}"}
        status, _ = await bench.post(f"/v1/calls/{peer.id}/events", event)
        assert status == 202
        yield
    await bench.ended(peer)


async def test_a_turn_with_a_tool_and_a_sentence_that_cannot_be_spoken(
    tmp_path: Path, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", SECRET)
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.headers["Authorization"])
        return web.Response(text=f"the balance of {SECRET}")

    unspoken = f"My name is {SECRET} and nobody says so."
    answers = (Answer(unspoken, [ToolCall("ask", {"pin": SECRET})]), "It is nothing.")
    async with serving(handle) as url, LlmServer(*answers) as model:
        (tmp_path / "tools.yaml").write_text(
            f"tools: [{{name: ask, description: d, url: '{url}', headers: {{Authorization: '${{SHOP_KEY}}'}}}}]"
        )
        settings = {"llm_tools": tmp_path / "tools.yaml", "filler": "", "llm_api_key": SECRET}
        async with whole_app(llm_base_url=model.url, llm_model="m", **settings) as bench:
            bench.engine.unspeakable = (unspoken,)
            async for _ in say(bench, f"My pin is {SECRET}."):
                while ("It is nothing.", "") not in bench.engine.spoken:
                    await bench.get("/health")
    assert asked == [SECRET]
    assert "tool called" in told(logged)
    assert "left out a sentence" in told(logged)
    assert SECRET not in told(logged)


async def test_services_that_fail_and_repeat_what_they_were_sent(logged: list[Any]) -> None:
    async def echo(request: web.Request) -> web.Response:
        message = f"{request.headers['Authorization']} {await request.text()}"
        return web.json_response({"error": {"message": message, "code": "invalid_api_key"}}, status=401)

    async with serving(echo) as url:
        base = url.replace("://", f"://user:{SECRET}@")
        settings = {"llm_api_key": SECRET, "filler": "", "webhook_url": f"{base}/{SECRET}?token={SECRET}"}
        async with whole_app(llm_base_url=base, llm_model="m", **settings) as bench:
            async for _ in say(bench, f"My pin is {SECRET}."):
                while "conversation failed" not in told(logged):
                    await bench.get("/health")
    assert "HTTP 401" in told(logged)
    assert "invalid_api_key" in told(logged)
    assert "web-hook failed" in told(logged)
    assert SECRET not in told(logged)
