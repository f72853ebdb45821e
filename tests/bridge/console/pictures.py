"""Takes the pictures of docs/console.md: python -m tests.bridge.console.pictures [FOLDER]

It starts a server on the embedded voice, has scripted callers call it, and looks at the calls in a headless Chromium.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import uvloop

from bridge.converse.scenario_call import ScenarioCall, Stage
from bridge.converse.scenario_file import read_scenarios
from bridge.converse.scripted_model import SYSTEM_PROMPT, ScriptedModel
from bridge.converse.server_process import running_server
from bridge.converse.told_recogniser import ToldRecogniser
from bridge.converse.voices import Voices, embedded_voice
from bridge.dial.client import CallsClient
from tests.support.browser import open_browser
from tests.support.console import ConsolePage

KEY: Final = "a key for the pictures"
CALLS: Final = Path(__file__).with_name("pictures.yaml")
DOCS: Final = Path(__file__).parents[3] / "docs" / "console"
SCREEN: Final = (1200, 860)
TELEPHONE: Final = (390, 800)
LIVE_AFTER_S: Final = 12.0
"""How far the call is when its picture is taken while it goes on."""


async def take() -> dict[str, bytes]:
    """Returns the pictures by the names of their files."""
    pictures: dict[str, bytes] = {}
    async with AsyncExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        scenarios = read_scenarios(CALLS)
        told = await stack.enter_async_context(ToldRecogniser())
        model = await stack.enter_async_context(ScriptedModel())
        model.write_tools(scenarios, temporary / "tools.yaml")
        server = await stack.enter_async_context(
            running_server(
                ENGINE="hibari",
                GREETING="{greeting}",
                ASR_PROTOCOL="qwen3-asr",
                ASR_URL=told.url,
                LLM_BASE_URL=model.url,
                LLM_MODEL="scripted",
                SYSTEM_PROMPT=SYSTEM_PROMPT,
                LLM_TOOLS=str(temporary / "tools.yaml"),
                TRANSFER_ALLOW="sales=ext-queues,400,1",
                BACKCHANNELS="en",
                CONSOLE="true",
                API_KEY=KEY,
                RECORD_DIR=str(temporary / "recordings"),
            )
        )
        client = await stack.enter_async_context(CallsClient(server.http_url, KEY))
        engine = await stack.enter_async_context(embedded_voice())
        stage = Stage(server.host, server.port, Voices(engine), client, told, model)
        browser = await stack.enter_async_context(open_browser(temporary / "profile"))
        page = ConsolePage(browser, server.http_url)
        calls = [ScenarioCall(scenario, stage) for scenario in scenarios]
        for call in calls:
            await call.prepare()
        await browser.call("Page.enable")
        await page.screen(*SCREEN)
        await page.scheme("light")
        await page.open()
        await page.until("document.querySelector('form.login') !== null")
        pictures["login.png"] = await page.picture()
        await page.log_in(KEY)
        for call in calls[1:]:
            await call.hold()
        holding = asyncio.create_task(calls[0].hold())
        await asyncio.sleep(LIVE_AFTER_S)
        await page.open()
        await page.until("document.querySelectorAll('.calls li').length >= 3")
        pictures["calls.png"] = await page.picture()
        await page.go(f"#/call/{calls[0].caller.id}")
        await page.until("document.querySelectorAll('.row').length >= 2")
        await asyncio.sleep(3)
        pictures["live.png"] = await page.picture()
        timeline = await holding
        assert not timeline.problem, timeline.problem
        await asyncio.sleep(1)
        await _look(page, pictures, f"#/call/{calls[0].caller.id}")
        await page.go("#/playground")
        await page.until("document.querySelector('select option') !== null")
        await page.click("#speak")
        await page.until("document.querySelector('#spoken').textContent.includes('sound in')")
        pictures["playground.png"] = await page.picture()
        await page.go("#/engine")
        await page.until("document.querySelectorAll('.cards .card').length > 3")
        pictures["engine.png"] = await page.picture()
    return pictures


async def _look(page: ConsolePage, pictures: dict[str, bytes], fragment: str) -> None:
    """Takes the pictures of a call that is over: on a screen, light and dark, and on a telephone."""
    for name, scheme in (("call.png", "light"), ("call-dark.png", "dark")):
        await page.scheme(scheme)
        await page.open(fragment)
        await page.until("document.querySelectorAll('.row.agent').length >= 4")
        await page.click("canvas.overview")  # to the middle, where the caller interrupts
        await page.browser.evaluate("window.scrollTo(0, 0)")
        await asyncio.sleep(1)
        pictures[name] = await page.picture()
    await page.screen(*TELEPHONE, 2, mobile=True)
    await page.open(fragment)
    await page.until("document.querySelectorAll('.row.agent').length >= 4")
    await page.click("canvas.overview")
    await page.browser.evaluate("window.scrollTo(0, 0)")
    await asyncio.sleep(1)
    pictures["telephone.png"] = await page.picture()
    await page.screen(*SCREEN)
    await page.scheme("light")


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in uvloop.run(take()).items():
        (folder / name).write_bytes(picture)
