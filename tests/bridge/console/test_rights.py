"""What the console may not do: the page offers none of it, and requests for it are refused in OpenAI's form."""

from __future__ import annotations

import wave
from pathlib import Path
from uuid import uuid4

import pytest

from bridge.app import App
from bridge.config import Settings
from tests.bridge.calls_api.test_events import COMPLETED
from tests.bridge.console.test_recorded_calls import record
from tests.bridge.console.test_routes import KEY, log_in
from tests.support.browser import open_browser
from tests.support.console import ConsolePage
from tests.support.console_server import ConsoleServer
from tests.support.fakes import Asterisk
from tests.support.tone_engine import ToneEngine
from tests.support.whole_app import QUICK, Bench, whole_app

BEARER = {"Authorization": f"Bearer {KEY}"}
ACTS = (("say", {"text": "Hello."}), ("interrupt", None), ("hangup", None))


async def call(bench: Bench) -> Asterisk:
    """A call in progress of a server whose console one is logged in to."""
    await log_in(bench)
    return await bench.call_named(str(uuid4()))


def with_sound(folder: Path) -> str:
    """Records a call with a second of sound; returns the path of what the console tells of it."""
    name = record(folder, "5550100")
    with wave.open(str(folder / f"{name}.wav"), "wb") as wav:
        wav.setparams((2, 2, 8_000, 0, "NONE", ""))
        wav.writeframes(bytes(4 * 8_000))
    return f"/console/recorded/{name}"


async def test_a_console_that_may_not_act_leaves_a_call_alone(tmp_path: Path) -> None:
    async with whole_app(console=True, api_key=KEY, record_dir=tmp_path, console_act=False) as bench:
        peer = await call(bench)
        for act, body in ACTS:
            status, refused = await bench.post(f"/v1/calls/{peer.id}/{act}", body)
            assert status == 403
            assert refused["error"]["type"] == "invalid_request_error"
            assert refused["error"]["code"] == "forbidden"
            assert refused["error"]["message"].startswith("CONSOLE_ACT=false")
        assert bench.call_of(peer).state.value == "active"
        assert (await bench.http.get(f"{with_sound(tmp_path)}/sound")).status == 200
        assert await bench.get("/console/rights") == {"listen": True, "act": False}
        for act, body in ACTS:
            status, _ = await bench.post(f"/v1/calls/{peer.id}/{act}", body, headers=BEARER)
            assert status < 300, "a program that has the key itself is not the console"


async def test_a_console_that_may_not_listen_plays_nothing_and_acts(tmp_path: Path) -> None:
    async with whole_app(console=True, api_key=KEY, record_dir=tmp_path, console_listen=False) as bench:
        peer = await call(bench)
        recorded = with_sound(tmp_path)
        async with bench.http.get(f"{recorded}/sound") as response:
            assert response.status == 403
            refused = (await response.json())["error"]
        assert (refused["code"], refused["type"]) == ("forbidden", "invalid_request_error")
        assert refused["message"].startswith("CONSOLE_LISTEN=false")
        assert (await bench.http.get(f"{recorded}/peaks")).status == 200, "how loud it is may be seen"
        assert await bench.get("/console/rights") == {"listen": False, "act": True}
        for act, body in ACTS:
            status, _ = await bench.post(f"/v1/calls/{peer.id}/{act}", body)
            assert status < 300


async def test_without_a_login_nothing_is_told_of_what_is_forbidden(tmp_path: Path) -> None:
    async with whole_app(console=True, api_key=KEY, console_act=False) as bench:
        assert (await bench.http.get("/console/rights")).status == 401
        assert (await bench.http.post(f"/v1/calls/{uuid4()}/say", json={"text": "Hello."})).status == 401


@pytest.mark.parametrize("act", [True, False])
async def test_a_login_follows_a_call_and_tells_it_nothing_that_a_recogniser_hears(act: bool) -> None:
    async with whole_app(console=True, api_key=KEY, console_act=act) as bench:
        peer = await call(bench)
        path = f"/v1/calls/{peer.id}/events?journal=1"
        async with bench.http.ws_connect(path) as login, bench.http.ws_connect(path, headers=BEARER) as program:
            assert (await login.receive_json())["type"] == "call.started"
            await login.send_json({"type": COMPLETED, "transcript": "made up"})
            refused = await login.receive_json()
            assert refused["error"]["message"] == "no events are taken from the console: it follows the call"
            await program.send_json({"type": COMPLETED, "transcript": "heard"})
            while (told := await login.receive_json())["type"] != "transcript.user":
                pass
            assert told["text"] == "heard"


async def test_the_page_has_no_buttons_for_what_is_forbidden(tmp_path: Path) -> None:
    settings = Settings.of(
        **QUICK, console=True, api_key=KEY, record_dir=tmp_path, console_listen=False, console_act=False
    )
    app = App(settings, ToneEngine())
    await app.start()
    try:
        async with ConsoleServer.of(app, KEY) as server, open_browser(tmp_path / "profile") as browser:
            await browser.call("Log.enable")
            await browser.call("Page.enable")
            page = ConsolePage(browser, server.url)
            await page.screen(1200, 800)
            await page.open()
            await page.log_in(KEY)
            await page.until("document.querySelector('#search') !== null")
            browser.complaints.clear()  # of what was asked for without a login
            caller = await server.call(**{"from": "5550100"})
            await caller.goes_on(20)
            await caller.says("Is there a table left?")
            await page.open(f"#/call/{caller.id}")
            await page.until("document.querySelector('.row.user') !== null")
            assert "listening is switched off" in await page.text()
            for absent in ("#play", ".actions", "#interrupt", "#hangup"):
                assert await page.browser.evaluate(f"document.querySelector('{absent}')") is None
            word = ".row.user .word:last-of-type"
            begins_ms = await page.browser.evaluate(f"document.querySelector('{word}').dataset.from")
            begins = await page.browser.evaluate(f"import('/console/static/dom.js').then(it => it.clock({begins_ms}))")
            await page.click(word)
            await page.until(f"document.querySelector('.at').textContent === '{begins}'")
            await page.press(" ", " ")
            assert await page.text(".at") == begins, "there is nothing to play"
            await caller.hang_up()
            await page.until("document.querySelector('.facts').textContent.includes('ended')")
            assert not [text for text in browser.complaints if "403" in text or "Forbidden" in text]
    finally:
        await app.stop()
