"""Two agents on one server: each has its own greeting, voice, tools and brain, and one may take over from the other."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from structlog.testing import capture_logs

from bridge import app as app_module
from bridge.app import App, serve
from bridge.brains.line_states import FRESH_S, LineStates
from bridge.config import Settings
from bridge.conversation import services
from tests.support.fakes import FakeEngine
from tests.support.llm_server import Answer, LlmServer, ToolCall
from tests.support.whole_app import QUICK, Bench, whole_app

AGENTS = """
desk:
  default: true
  greeting: Desk.
  voice: one
  system_prompt: You are the desk of {company}.
  hands_over_to: sales
  voice_language: en
  languages:
    de: {voice: two}
sales:
  description: Sells things.
  numbers: ['400', '+4930*']
  greeting: Sales.
  voice: two
  system_prompt: You sell.
  llm_tools: tools.yaml
  transfer_allow: boss=ext,1,1
  fallback_destination: sales-queue,1,1
"""
TOOLS = "tools: [{name: price, description: d, url: 'http://x'}]"


@pytest.fixture
def agents_file(tmp_path: Path) -> Path:
    (tmp_path / "tools.yaml").write_text(TOOLS)
    path = tmp_path / "agents.yaml"
    path.write_text(AGENTS)
    return path


@asynccontextmanager
async def two_agents(path: Path, model: LlmServer, **settings: Any) -> AsyncIterator[Bench]:
    async with whole_app(agents=path, llm_base_url=model.url, llm_model="m", filler="", **settings) as bench:
        yield bench


def tools_of(request: dict[str, Any]) -> set[str]:
    return {tool["function"]["name"] for tool in request["tools"]}


async def test_each_agent_has_its_greeting_voice_prompt_and_tools(agents_file: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    async with (
        LlmServer("Yes.", "No.") as model,
        two_agents(agents_file, model, record_dir=calls) as bench,
    ):
        desk = await bench.call(company="Acme")
        sales = await bench.call(to="+49 30 1234")
        for peer in (desk, sales):
            await peer.until(lambda: len(bench.engine.spoken) >= 2)
            await bench.said(peer, "Are you open today?")
            await peer.until(lambda count=1 if peer is desk else 2: len(model.requests) == count)  # type: ignore[misc]
        greetings = [spoken for spoken in bench.engine.spoken if spoken[0] not in ("Yes.", "No.")]
        assert sorted(greetings) == [("Desk.", "one"), ("Sales.", "two")]
        first, second = model.requests
        assert first["messages"][0]["content"].startswith('You are the desk of "Acme".')
        assert tools_of(first) == {"hangup", "transfer_to_agent", "switch_language"}
        assert second["messages"][0]["content"] == "You sell."
        assert tools_of(second) == {"hangup", "transfer", "price"}
        listed = {state["id"]: state["agent_name"] for state in (await bench.get("/v1/calls"))["data"]}
        assert listed == {str(desk.id): "desk", str(sales.id): "sales"}
        assert await bench.next(sales) == "sales-queue,1,1"
        assert await bench.next(desk) == ""
        async with bench.http.get("/metrics") as response:
            assert 'talkspurt_agent_calls_total{agent="sales"} 1.0' in await response.text()
        await bench.ended(desk)
        await bench.ended(sales)
    assert json.loads((calls / f"{sales.id}.json").read_text())["agent_name"] == "sales"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("agent", "salse", "there is no agent 'salse'; did you mean 'sales'?"),
        ("voice", "three", "unknown voice 'three'; known are one, two"),
        ("language", "German", "'German' is no language such as de or de-AT"),
    ],
)
async def test_a_call_is_not_announced_to_whom_there_is_not(
    agents_file: Path, field: str, value: str, message: str
) -> None:
    async with LlmServer() as model, two_agents(agents_file, model) as bench:
        status, answer = await bench.post("/v1/calls", {"id": str(uuid4()), field: value})
        assert (status, answer["error"]["param"], answer["error"]["message"]) == (400, field, message)


async def test_without_a_file_an_agents_name_is_a_variable_like_any_other() -> None:
    async with whole_app(greeting="Ask for {agent}.") as bench:
        peer = await bench.call(agent="Smith")
        await peer.until(lambda: bench.engine.spoken == [("Ask for Smith.", "")])
        assert (await bench.get(f"/v1/calls/{peer.id}"))["agent_name"] == "default"


async def test_the_call_says_who_takes_it_and_in_which_voice(agents_file: Path) -> None:
    async with LlmServer() as model, two_agents(agents_file, model) as bench:
        peer = await bench.call(agent="sales", to="999", voice="one", language="fr-FR")
        await peer.until(lambda: bench.engine.spoken == [("Sales.", "one")])
        assert bench.call_of(peer).style.language == "fr"


async def test_a_voice_or_agent_that_another_system_tells_wrongly_costs_no_call(agents_file: Path) -> None:
    async with LlmServer() as model, two_agents(agents_file, model) as bench:
        agent = bench.app.services.choose({"agent": "shop", "voice": "three", "language": "German", "to": "400"})
        assert (agent.name, agent.style.voice, agent.style.language) == ("sales", "two", None)


async def test_an_agent_hands_over_in_mid_call_and_the_next_knows_what_was_said(agents_file: Path) -> None:
    wanted = ToolCall("transfer_to_agent", {"agent": "sales", "reason": "wants a bicycle"})
    events: list[dict[str, Any]] = []
    async with (
        LlmServer(Answer("Moment.", [wanted]), "Which one?") as model,
        two_agents(agents_file, model) as bench,
    ):
        peer = await bench.call()
        conversation = bench.app.calls.find(peer.id)
        assert conversation is not None
        conversation.journal.observers.append(events.append)
        await peer.until(lambda: bool(bench.engine.spoken))
        await bench.said(peer, "I want to buy a bicycle.")
        await peer.until(lambda: len(model.requests) == 2)
        await peer.until(lambda: any(event["type"] == "response.done" for event in events[-1:]))
        before, after = model.requests
        (tool,) = (tool for tool in before["tools"] if tool["function"]["name"] == "transfer_to_agent")
        assert tool["function"]["parameters"]["properties"]["agent"]["description"] == "sales: Sells things."
        told = after["messages"]
        assert told[0] == {"role": "system", "content": "You sell."}
        assert {"role": "user", "content": "I want to buy a bicycle."} in told
        assert {"role": "assistant", "content": "Moment."} in told
        assert told[-1] == {"role": "user", "content": "[the call was handed over to you: wants a bicycle]"}
        assert tools_of(after) == {"hangup", "transfer", "price"}
        assert bench.engine.spoken[1:] == [("Moment.", "one"), ("Which one?", "two")]
        (handed,) = (event for event in events if event["type"] == "call.handed_over")
        assert (handed["from_agent"], handed["agent_name"], handed["reason"]) == ("desk", "sales", "wants a bicycle")
        assert (await bench.get(f"/v1/calls/{peer.id}"))["agent_name"] == "sales"
        assert await bench.next(peer) == "sales-queue,1,1"
        async with bench.http.get("/metrics") as response:
            assert 'talkspurt_handovers_total{from="desk",to="sales"} 1.0' in await response.text()


async def test_the_state_of_a_queue_is_as_old_after_a_hand_over_as_before(
    agents_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr(services, "LineStates", partial(LineStates, now_s=lambda: now_s))
    hands_over, transfers = (
        ToolCall("transfer_to_agent", {"agent": "sales"}),
        ToolCall("transfer", {"destination": "boss"}),
    )
    async with (
        LlmServer(Answer("Moment.", [hands_over]), Answer("I connect you.", [transfers])) as model,
        two_agents(agents_file, model) as bench,
    ):
        peer = await bench.call(line_states="1@ext=NO_AGENTS")
        await peer.until(lambda: bool(bench.engine.spoken))
        now_s = FRESH_S
        await bench.said(peer, "The boss of sales, please.")
        await peer.drain()
        assert await bench.next(peer) == "ext,1,1"
        await peer.close()


async def test_a_hand_over_that_the_caller_interrupts_is_off(agents_file: Path) -> None:
    wanted = ToolCall("transfer_to_agent", {"agent": "sales"})
    moment = "One moment please, I connect you."
    async with (
        LlmServer(Answer(moment, [wanted]), "All right.") as model,
        two_agents(agents_file, model) as bench,
    ):
        peer = await bench.call()
        await peer.until(lambda: bool(bench.engine.spoken))
        await bench.said(peer, "Sales.")
        await peer.until(lambda: (moment, "one") in bench.engine.spoken)
        await peer.hear(voiced=True)
        await bench.said(peer, "No, stay with me.")
        await peer.until(lambda: ("All right.", "one") in bench.engine.spoken)
        assert (await bench.get(f"/v1/calls/{peer.id}"))["agent_name"] == "desk"


async def test_an_agent_goes_on_in_another_language(agents_file: Path) -> None:
    wanted = ToolCall("switch_language", {"language": "de"})
    async with (
        LlmServer(Answer(tools=[wanted]), "Gern.") as model,
        two_agents(agents_file, model) as bench,
    ):
        peer = await bench.call()
        await peer.until(lambda: bool(bench.engine.spoken))
        assert bench.call_of(peer).style.language == "en"
        await bench.said(peer, "Sprechen Sie Deutsch?")
        await peer.until(lambda: bench.engine.spoken[1:] == [("Gern.", "two")])
        call = bench.call_of(peer)
        assert (call.style.language, call.language) == ("de", "de")
        (tool,) = (tool for tool in model.requests[0]["tools"] if tool["function"]["name"] == "switch_language")
        assert tool["function"]["parameters"]["properties"]["language"]["enum"] == ["de"]


async def test_sighup_reads_the_file_anew_and_calls_in_progress_keep_their_agent(
    agents_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, apps = FakeEngine(), []
    listening = asyncio.Event()

    class NotedApp(App):
        async def start(self) -> None:
            await super().start()
            apps.append(self)
            asyncio.get_running_loop().call_soon(listening.set)

    monkeypatch.setattr(app_module, "App", NotedApp)
    monkeypatch.setattr(app_module, "create_engine", lambda *_: engine)
    async with LlmServer("Still here.") as model:
        settings = Settings.of(**QUICK, agents=agents_file, llm_base_url=model.url, llm_model="m", filler="")
        server = asyncio.create_task(serve(settings))
        await listening.wait()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{apps[0].http_port}") as http:
            bench = Bench(apps[0], engine, http)
            old = await bench.call()
            await old.until(lambda: ("Desk.", "one") in engine.spoken)

            logs = await _read_anew(agents_file, "desk: {default: yes}")
            (entry,) = (entry for entry in logs if entry["event"] == "the agents stay as they were")
            assert entry["faults"] == [f"{agents_file}:1: desk.default='yes': must be true or false"]

            logs = await _read_anew(agents_file, "desk: {default: true, greeting: New., system_prompt: You are new.}")
            assert [entry["agents"] for entry in logs if entry["event"] == "agents read"] == [["desk"]]
            new = await bench.call()
            await new.until(lambda: ("New.", "") in engine.spoken)
            await bench.said(old, "Are you there?")
            await old.until(lambda: ("Still here.", "one") in engine.spoken)
            assert model.requests[0]["messages"][0]["content"].startswith("You are the desk")
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)


async def _read_anew(path: Path, text: str) -> list[Any]:
    """Writes another file, sends SIGHUP, and returns the log once it tells what came of that."""
    await asyncio.to_thread(path.write_text, text)
    with capture_logs() as logs:
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(30):
            while not any("agents" in entry["event"] for entry in logs):  # noqa: ASYNC110  (a log tells nobody)
                await asyncio.sleep(0.01)
    return list(logs)
