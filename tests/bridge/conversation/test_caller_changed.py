"""A colleague transfers somebody else to a call: from then on the caller is that one, for whoever answers."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from tests.bridge.conversation.service_phone import SPEECH, phone
from tests.support.llm_server import Answer, LlmServer, ToolCall
from tests.support.realtime_service import RealtimeService, Say
from tests.support.serving import serving
from tests.support.whole_app import whole_app

BOB = {"from": "5559876", "name": "Bob"}
AGENTS = """
desk:
  default: true
  hands_over_to: sales
sales:
  description: Sells things.
  system_prompt: You sell to {name}.
  llm_tools: tools.yaml
"""


class Prices:
    """A service that a tool asks for prices; it notes who asks."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request.query["from"])
        return web.Response(text="5")


def tools_file(folder: Path, url: str) -> Path:
    """A file of tools that names such a service."""
    path = folder / "tools.yaml"
    path.write_text(f"tools: [{{name: price, description: d, url: '{url}?from={{from}}'}}]")
    return path


async def test_after_a_colleagues_transfer_the_caller_is_somebody_else_for_the_model_and_its_tools() -> None:
    async with (
        LlmServer("Hello Bob.") as model,
        whole_app(llm_base_url=model.url, llm_model="m", greeting="Hi.", filler="") as bench,
    ):
        peer = await bench.call(name="Colleague", **{"from": "201"})
        await peer.until(lambda: bool(bench.engine.spoken))
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        path = f"/v1/calls/{peer.id}/caller"
        assert (await bench.post(path, data="from=&name=Nobody", headers=form))[0] == 200
        assert (await bench.post(path, data="from=5559876&name=Bob", headers=form))[0] == 200
        variables = (await bench.get(f"/v1/calls/{peer.id}"))["conversation"]["variables"]
        assert (variables["from"], variables["name"]) == ("5559876", "Bob")
        await bench.said(peer, "What does it cost?")
        await peer.until(lambda: bool(model.requests))
        told = model.requests[0]["messages"][-1]["content"]
        assert 'the caller is now "Bob", number "5559876"' in told
        assert "Nobody" not in told
        await peer.close()


async def test_an_agent_that_takes_over_later_knows_the_new_caller_too(tmp_path: Path) -> None:
    prices = Prices()
    async with (
        serving(prices.handle) as url,
        LlmServer(
            Answer("", [ToolCall("transfer_to_agent", {"agent": "sales"})]),
            Answer("", [ToolCall("price", {})]),
            "Five.",
        ) as model,
    ):
        (tmp_path / "agents.yaml").write_text(AGENTS)
        tools_file(tmp_path, url)
        async with whole_app(
            agents=tmp_path / "agents.yaml", llm_base_url=model.url, llm_model="m", greeting="Hi.", filler=""
        ) as bench:
            peer = await bench.call(name="Colleague", **{"from": "201"})
            await peer.until(lambda: bool(bench.engine.spoken))
            assert (await bench.post(f"/v1/calls/{peer.id}/caller", BOB))[0] == 200
            await bench.said(peer, "What does it cost?")
            await peer.until(lambda: len(model.requests) == 3)
            assert model.requests[1]["messages"][0]["content"].startswith('You sell to "Bob".')
            assert prices.asked == ["5559876"]
            await peer.close()


async def test_a_speech_to_speech_service_is_told_and_its_tools_are_for_the_new_caller(tmp_path: Path) -> None:
    prices = Prices()
    async with serving(prices.handle) as url:
        path = tools_file(tmp_path, url)
        wants = Say("Let me look.", 200, tools=[("price", {})])
        async with RealtimeService(wants, Say("Five.", 200)) as service, phone(service, llm_tools=path) as call:
            assert (await call.bench.post(f"/v1/calls/{call.caller.id}/caller", BOB))[0] == 200
            call.caller.speak(SPEECH)
            await call.event("response.done", 2)
            told = [
                event["item"]["content"][0]["text"]
                for event in service.session.events
                if "role" in event.get("item", {})
            ]
            assert any('the caller is now "Bob", number "5559876"' in text for text in told)
            assert prices.asked == ["5559876"]
