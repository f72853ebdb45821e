"""After a call its summary comes by web-hook and by e-mail; when that fails, calls do not notice."""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bridge.conversation import call_summary
from bridge.conversation.settings import ConversationSettings
from tests.support.llm_server import Answer, LlmServer
from tests.support.serving import serving
from tests.support.waiting import eventually, until
from tests.support.whole_app import Bench, whole_app

SUMMARY = "A caller asked for a table for two. It is booked."
DEADLINE_S = 30.0


async def logged(lines: Sequence[Any], event: str) -> str:
    """Waits for a line of the log and returns the problem that it names."""
    await until(lambda: any(line["event"] == event for line in lines))
    return str(next(line for line in lines if line["event"] == event)["problem"])


class Told(asyncio.Queue[dict[str, Any]]):
    """What a web-hook is told."""

    async def receive(self, request: web.Request) -> web.Response:
        self.put_nowait(await request.json())
        return web.Response()

    async def first(self, kind: str) -> dict[str, Any]:
        while (event := await self.get())["type"] != kind:
            pass
        return event


async def one_turn(bench: Bench) -> str:
    """A call in which the caller says one thing and is answered; returns its id."""
    peer = await bench.call(**{"from": "5550100", "name": "Ann\nLee"})
    await bench.said(peer, "A table for two, please.")
    await peer.hear(voiced=True)
    await peer.hear(voiced=False)
    await bench.ended(peer)
    return str(peer.id)


@asynccontextmanager
async def summing_up(*answers: Answer | str, **settings: Any) -> AsyncIterator[tuple[Bench, Told, LlmServer]]:
    told = Told()
    async with (
        LlmServer(*answers) as model,
        serving(told.receive) as url,
        whole_app(llm_base_url=model.url, llm_model="m", webhook_url=url, summary=True, **settings) as bench,
    ):
        yield bench, told, model


async def test_the_model_is_asked_once_and_the_webhook_told() -> None:
    async with summing_up("It is booked.", SUMMARY) as (bench, told, model):
        call_id = await one_turn(bench)
        event = await told.first("call.summary")
        assert (event["call_id"], event["summary"], event["variables"]["from"]) == (call_id, SUMMARY, "5550100")
        question = model.requests[-1]["messages"][-1]["content"]
        assert question.splitlines()[0] == "Caller: A table for two, please."
        assert "tools" not in model.requests[-1]


async def test_of_a_call_in_which_nobody_spoke_there_is_none() -> None:
    async with summing_up(greeting="Hello.") as (bench, told, model):
        peer = await bench.call()
        await peer.hear(voiced=True)
        await bench.ended(peer)
        await told.first("call.ended")
    assert model.requests == []


async def test_a_model_that_fails_costs_the_summary_alone() -> None:
    async with summing_up("It is booked.", *[Answer(status=500)] * 4) as (bench, told, _):
        with capture_logs() as lines:
            await one_turn(bench)
            await told.first("call.ended")
            said = await logged(lines, "a call is not summed up")
        assert "500" in said
        assert told.empty()


@pytest.fixture
def sendmail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sendmail that keeps what it is given; returns where."""
    kept = tmp_path / "mail"
    program = tmp_path / "sendmail"
    program.write_text(f'#!/bin/sh\n[ "$*" = "-i -t" ] || exit 64\ncat > {kept}.part && mv {kept}.part {kept}\n')
    program.chmod(0o755)
    monkeypatch.setattr(call_summary.SummaryOptions.__init__, "__defaults__", ("", str(program)))
    return kept


async def test_it_is_mailed(sendmail: Path) -> None:
    async with summing_up("It is booked.", SUMMARY, summary_mail_to="desk@example.com") as (bench, _, _model):
        call_id = await one_turn(bench)
        await eventually(lambda: asyncio.to_thread(sendmail.exists), DEADLINE_S)
    content = await asyncio.to_thread(sendmail.read_bytes)
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert (message["To"], message["Subject"]) == ("desk@example.com", "Call from Ann Lee (5550100)")
    body = message.get_body()
    assert body is not None
    text = body.get_content()
    assert text.startswith(SUMMARY)
    assert f"Call {call_id}" in text
    assert "Caller: A table for two, please.\nAgent: It is booked." in text


@pytest.mark.parametrize("script", ["echo 'no route to host' >&2; exit 75", "exit 75", ""])
async def test_mail_that_cannot_be_sent_is_said(sendmail: Path, script: str) -> None:
    program = sendmail.parent / "sendmail"
    if script:
        await asyncio.to_thread(program.write_text, f"#!/bin/sh\n{script}\n")
    else:
        await asyncio.to_thread(os.unlink, program)
    with capture_logs() as lines:
        async with summing_up("It is booked.", SUMMARY, summary_mail_to="desk@example.com") as (bench, _, _model):
            await one_turn(bench)
            said = await logged(lines, "a summary is not mailed")
    assert any(words in said for words in ("no route to host", "ended with 75", "No such file"))


@pytest.mark.parametrize("address", ["desk", "desk@", "a@b\nBcc: c@d", "desk@example.com, x@y", "<desk@example.com>"])
def test_a_wrong_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="must be an address such as"):
        ConversationSettings.model_validate({"summary_mail_to": address})


def test_without_a_model_nothing_can_be_summed_up() -> None:
    with pytest.raises(ValueError, match="must be false without LLM_BASE_URL"):
        ConversationSettings.model_validate({"summary": True})
