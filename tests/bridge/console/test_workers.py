"""The console of a server with two workers, as processes: calls of both, what is kept of them, and their traces."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio

from bridge.converse.server_process import running_server
from bridge.line.audiosocket import Kind
from tests.bridge.traces.collector import Collector, collecting
from tests.support.browser import open_browser
from tests.support.console import ConsolePage
from tests.support.console_server import PATIENCE_S, Caller, ConsoleServer
from tests.support.tone_server import tone_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

KEY = "the key of the tests"
NUMBERS = ("5550101", "5550102")
SENTENCE = "Here is a sentence that takes a while to be spoken."
WORD = "xyzzyplugh"
NUMBER = "15557654321"
PRIVACY_KEY = "0123456789abcdef"
ROWS = "[...document.querySelectorAll('.row')].map(row => row.innerText).join()"
LISTED = "[...document.querySelectorAll('.calls a')].map(call => call.innerText).join()"


async def serving_with_two_workers(stack: AsyncExitStack, recordings: Path, **settings: str) -> ConsoleServer:
    voice = await stack.enter_async_context(tone_server())
    console = {"CONSOLE": "true", "API_KEY": KEY, "RECORD_DIR": str(recordings)}
    process = await stack.enter_async_context(running_server(WORKERS="2", **voice, **console, **settings))
    return await stack.enter_async_context(ConsoleServer.at(process.http_url, process.port, KEY))


async def one_call_on_each(server: ConsoleServer, *numbers: str) -> list[Caller]:
    """Two calls in progress, of which each worker has one."""
    await counted(server, [0, 0])  # a worker that still counted an ended call would not get its share
    callers = [await server.call(**{"from": number, "name": WORD}) for number in numbers]
    await counted(server, [1, 1])
    return callers


async def counted(server: ConsoleServer, calls: list[int]) -> None:
    """Waits until the workers have so many calls."""
    async with asyncio.timeout(PATIENCE_S):
        while [worker["calls"] for worker in (await server.get("/health"))["workers"]] != calls:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as collector:
        yield collector


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ConsoleServer]:
    traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    async with AsyncExitStack() as stack:
        yield await serving_with_two_workers(stack, tmp_path_factory.mktemp("recordings"), GREETING=SENTENCE, **traces)


@pytest_asyncio.fixture(loop_scope="module")
async def callers(server: ConsoleServer) -> AsyncIterator[list[Caller]]:
    callers = await one_call_on_each(server, *NUMBERS)
    yield callers
    for caller in callers:
        await caller.hang_up()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(server: ConsoleServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ConsolePage]:
    async with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        await browser.call("Page.enable")
        page = ConsolePage(browser, server.url)
        await page.screen(1200, 800)
        await page.open()
        await page.log_in(KEY)
        await page.until("document.querySelector('#search') !== null")
        yield page


async def test_calls_of_both_workers_are_listed_and_found(page: ConsolePage, callers: list[Caller]) -> None:
    await page.open("#/calls")
    await page.until(f"document.querySelectorAll('.calls a.live').length === 2 && {LISTED}.includes('{NUMBERS[0]}')")
    assert NUMBERS[1] in await page.text(".calls")
    for number, other in (NUMBERS, reversed(NUMBERS)):
        await page.browser.evaluate(f"search.value = '{number}'; search.dispatchEvent(new Event('input'))")
        await page.until(f"{LISTED}.includes('{number}') && !{LISTED}.includes('{other}')")


async def test_calls_of_both_workers_are_followed_spoken_into_silenced_and_ended_and_then_played(
    page: ConsolePage, server: ConsoleServer, callers: list[Caller]
) -> None:
    for caller in callers:
        await page.open(f"#/call/{caller.id}")
        await page.until("document.querySelector('.badge')?.hidden === false")
        await caller.says("Is there a table left?")
        await page.until(f"{ROWS}.includes('Is there a table left?')")
        await page.browser.evaluate(f"document.querySelector('.actions input').value = {json.dumps(SENTENCE * 9)}")
        await page.click(".actions .primary")
        await server.until_told(caller.id, speaking=True)
        await page.click("#interrupt")
        await page.until(f"{ROWS}.includes('interrupted: interrupt')")
        assert not (await server.get(f"/v1/calls/{caller.id}"))["speaking"]
        await page.click("#hangup")
        await page.click("#hangup")
        await page.until("document.querySelector('.facts').textContent.includes('ended')")
    for caller in callers:
        await server.until_told(caller.id, state="ended")
        await page.open(f"#/call/{caller.id}")
        await page.until("document.querySelector('#play')?.disabled === false")
        await page.watch("#play")  # a short recording is over before one looks
        await page.click("#play")
        await page.shown("Pause")
        await page.until("document.querySelector('.at').textContent !== '0:00.0'")


async def test_both_workers_send_spans(server: ConsoleServer, callers: list[Caller], collector: Collector) -> None:
    expected = {UUID(caller.id).bytes for caller in callers}
    for caller in callers:
        await server.until_told(caller.id, speaking=True)  # the greeting: a turn
        await caller.hang_up()
    async with asyncio.timeout(PATIENCE_S):
        while not expected <= {span.trace_id for span in collector.named("call")}:
            await collector.asked()
    greetings = [span for span in collector.named("invoke_agent default") if span.trace_id in expected]
    assert {span.trace_id for span in greetings} == expected


async def test_each_worker_keeps_what_privacy_allows(tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    async with AsyncExitStack() as stack:
        privacy = {"PRIVACY": "routing", "PRIVACY_KEY": PRIVACY_KEY}
        server = await serving_with_two_workers(stack, recordings, **privacy)
        callers = await one_call_on_each(server, NUMBER, NUMBER)
        for caller in callers:
            await caller.says(f"I am {WORD}, call {NUMBER}.")
            caller.peer.send(Kind.DTMF, b"7")
            await server.until_told(caller.id, dtmf="7")
            await caller.hang_up()
        listed = json.dumps(await server.get("/v1/calls?ended=1"))
        told = [json.dumps(await server.get(f"/v1/calls/{caller.id}")) for caller in callers]
        searched = json.dumps(await server.get("/console/recorded"))
        kept = [(recordings / f"{caller.id}.jsonl").read_text() for caller in callers]
    for place in (listed, *told, searched, *kept):
        assert NUMBER not in place
        assert '"7"' not in place
    assert all(WORD in place for place in (*told, *kept)), "it was said, and may be kept"
    hashes = [set(re.findall(r"num_\w+", place)) for place in kept]
    assert hashes[0] == hashes[1], "both workers have one key"
    assert len(hashes[0]) == 1
    assert all(caller.id in listed and caller.id in searched for caller in callers)
