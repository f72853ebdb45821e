"""The console in a real browser, with a real call over AudioSocket: every view, and what one does in it."""

from __future__ import annotations

import json
import time

import pytest
import pytest_asyncio

from bridge.app import App
from bridge.config import Settings
from bridge.console.session import COOKIE
from bridge.line.audiosocket import Kind
from bridge.line.call_limit import CallLimit
from tests.support.browser import open_browser
from tests.support.console import ConsolePage
from tests.support.console_server import ConsoleServer
from tests.support.contrast import pale
from tests.support.tone_engine import ToneEngine
from tests.support.waiting import until
from tests.support.whole_app import QUICK

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "the key of the tests"
HARMLESS = ("(Not Found)", "willReadFrequently")
"""What the browser may say: a call is not recorded from its first ms on, and these tests read the canvas."""
SENTENCE = "Here is a sentence that takes a while to be spoken."
ROWS = "[...document.querySelectorAll('.row')].map(row => row.innerText)"
DRAWN = """(() => {
  const canvas = document.querySelector('canvas.timeline');
  const data = canvas.getContext('2d').getImageData(0, 20, canvas.width, 60).data;
  let coloured = 0;
  for (let at = 3; at < data.length; at += 4) coloured += data[at] > 200;
  return coloured;
})()"""
"""How many points of the caller's side are drawn."""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    return tmp_path_factory.mktemp("recordings")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(recordings):
    settings = Settings.of(**QUICK, console=True, api_key=KEY, record_dir=recordings, greeting=SENTENCE)
    app = App(settings, ToneEngine())
    await app.start()
    async with ConsoleServer.of(app, KEY) as server:
        yield server
    await app.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def logged_in(server, tmp_path_factory):
    async with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        await browser.call("Log.enable")
        await browser.call("Page.enable")
        page = ConsolePage(browser, server.url)
        await page.open()
        await page.log_in("a wrong key")
        await page.until("document.querySelector('.problem').textContent.includes('not the API key')")
        await page.log_in(KEY)
        await page.until("document.querySelector('#search') !== null")
        browser.complaints.clear()  # of the wrong key, and of what was asked for without one
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def page(logged_in):
    await logged_in.screen(1200, 800)
    yield logged_in
    complaints, logged_in.browser.complaints = logged_in.browser.complaints, []
    assert [text for text in complaints if not any(harmless in text for harmless in HARMLESS)] == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ended(server):
    """A call that was recorded: a greeting, a question that cuts it, and a key."""
    caller = await server.call(**{"from": "5550100", "to": "5550199"})
    await caller.goes_on(15)
    caller.tone = True
    await caller.says("What does a table cost?")
    await caller.goes_on(15)
    caller.tone = False
    caller.peer.send(Kind.DTMF, b"7")
    await caller.goes_on(5)
    await caller.hang_up()
    await until(lambda: not server.app.calls.active())
    return caller.id


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(page):
    cookies = (await page.browser.call("Network.getCookies"))["cookies"]
    (cookie,) = (each for each in cookies if each["name"] == COOKIE)
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert KEY not in cookie["value"]
    assert await page.browser.evaluate("document.cookie") == ""
    assert await page.browser.evaluate("JSON.stringify(localStorage) + JSON.stringify(sessionStorage)") == "{}{}"


async def test_the_policy_lets_nothing_in_from_elsewhere(page):
    await page.open("#/calls")
    refused = """new Promise(resolve => {
      document.addEventListener('securitypolicyviolation', event => resolve(event.effectiveDirective));
      %s
    })"""
    image = "const image = new Image(); image.src = 'http://other.example/x.png';"
    assert await page.browser.evaluate(refused % image) == "img-src"
    assert await page.browser.evaluate(refused % "fetch('http://other.example/').catch(() => {});") == "connect-src"
    inline = "const script = document.createElement('script'); script.textContent = '1'; document.body.append(script);"
    assert await page.browser.evaluate(refused % inline) == "script-src-elem"
    page.browser.complaints.clear()


async def test_a_recorded_call_is_found_and_shown(page, ended):
    await page.open("#/calls")
    await page.until("document.querySelectorAll('.calls li').length === 1")
    assert "5550100 → 5550199" in await page.text(".calls")
    await page.browser.evaluate("search.value = 'nobody'; search.dispatchEvent(new Event('input'))")
    await page.until("document.querySelectorAll('.calls li').length === 0")
    assert "No call is found." in await page.text()
    await page.browser.evaluate("search.value = '0100 DEFAULT'; search.dispatchEvent(new Event('input'))")
    await page.until("document.querySelectorAll('.calls li').length === 1")
    await page.click(".calls a")
    await page.until(f"{ROWS}.length >= 5")
    rows = "\n".join(await page.browser.evaluate(ROWS))
    assert "What does a table cost?" in rows
    assert "interrupted" in rows
    assert "key" in rows
    unheard = await page.text(".unheard")
    assert unheard
    assert SENTENCE.endswith(unheard)
    await page.until(f"{DRAWN} > 500")


async def test_a_click_on_a_word_plays_that_stretch(page, ended, capfd):
    await page.open(f"#/call/{ended}")
    word = ".row.user .word:nth-child(4)"
    await page.until(f"document.querySelector('{word}') !== null")
    begins_ms = int(await page.browser.evaluate(f"document.querySelector('{word}').dataset.from"))
    assert "is listened to" not in capfd.readouterr().out
    await page.watch("#play")
    await page.click(word)
    await page.shown("Pause")
    await page.until("document.querySelector('#play').textContent.includes('Play')")
    seconds = float((await page.text(".at")).split(":")[1])
    assert begins_ms / 1000 + 0.2 < seconds < begins_ms / 1000 + 1.2
    heard = capfd.readouterr()
    assert "is listened to" in heard.out + heard.err
    assert ended in heard.out + heard.err


async def test_a_click_on_the_timeline_plays_from_there(page, ended):
    await page.open(f"#/call/{ended}")
    await page.until(f"{DRAWN} > 500")
    await page.watch("#play")
    await page.click("canvas.timeline")
    await page.shown("Pause")
    minutes, seconds = (await page.text(".at")).split(":")
    assert int(minutes) * 60 + float(seconds) > 0.2, "it is clicked in its middle"


async def test_keys_move_between_rows_and_play(page, ended):
    await page.open(f"#/call/{ended}")
    await page.until(f"{ROWS}.length >= 5")
    await page.browser.evaluate("document.querySelector('.row').focus()")
    await page.press("ArrowDown")
    assert await page.browser.evaluate("document.activeElement === document.querySelectorAll('.row')[1]")
    await page.watch("#play")
    await page.press("Enter")
    await page.shown("Pause")
    await page.press(" ", " ")
    await page.until("document.querySelector('#play').textContent.includes('Play')")


async def test_a_call_in_progress_moves_on_and_is_spoken_into_silenced_and_ended(page, server):
    caller = await server.call(**{"from": "5550111"})
    try:
        await page.open(f"#/call/{caller.id}")
        await page.until("document.querySelector('.badge')?.hidden === false")
        await caller.says("Is there a table left?")
        await page.until(f"{ROWS}.join().includes('Is there a table left?')")
        await page.until(f"{DRAWN} > 0")
        shown = await page.text(".at")
        await page.until(f"document.querySelector('.at').textContent > '{shown}'")  # the time goes on
        await page.browser.evaluate(f"document.querySelector('.actions input').value = {json.dumps(SENTENCE * 9)}")
        await page.click(".actions .primary")
        talk = server.app.calls.find(caller.peer.id)
        await until(lambda: talk.call.playout.speaking)
        await page.click("#interrupt")
        await page.until(f"{ROWS}.join().includes('interrupted: interrupt')")
        await page.click("#hangup")
        await page.click("#hangup")
        await page.until("document.querySelector('.facts').textContent.includes('ended')")
        assert await page.browser.evaluate("document.querySelector('.actions') === null")
    finally:
        await caller.hang_up()


async def test_a_call_that_has_gone_on_for_long_is_shown_at_its_present(page, server):
    caller = await server.call(**{"from": "5550113"})
    try:
        await caller.goes_on(250)  # five seconds, in whose last four nothing is told
        elapsed_s = time.time() - server.app.calls.find(caller.peer.id).call.started_at
        await page.open(f"#/call/{caller.id}")
        await page.until("document.querySelector('.badge')?.hidden === false")
        await page.until("document.querySelector('.at').textContent !== '0:00.0'")
        minutes, seconds = (await page.text(".at")).split(":")
        assert int(minutes) * 60 + float(seconds) > elapsed_s - 1.2, "the server's clock tells it to the second"
    finally:
        await caller.hang_up()


KEEP_SOCKETS = """(() => {
  window.sockets = [];
  const Plain = WebSocket;
  window.WebSocket = class extends Plain {
    constructor(...told) { super(...told); window.sockets.push(this); }
  };
})()"""


async def test_the_end_of_a_call_is_told_though_its_socket_was_lost(page, server):
    caller = await server.call(**{"from": "5550112"})
    talk = server.app.calls.find(caller.peer.id)
    added = await page.browser.call("Page.addScriptToEvaluateOnNewDocument", source=KEEP_SOCKETS)
    try:
        await page.open(f"#/call/{caller.id}")
        await page.until("document.querySelector('.badge')?.hidden === false")
        await page.until("sockets.length && sockets.at(-1).readyState === WebSocket.OPEN")
        await page.browser.evaluate("new Promise(done => { sockets.at(-1).onclose = done; sockets.at(-1).close(); })")
        await caller.hang_up()
        await page.until("document.querySelector('.badge').hidden")
        assert "ended" in await page.browser.evaluate("document.querySelector('.facts').textContent")
        assert talk.call.state.value == "ended"
        assert await page.browser.evaluate("sockets.length") == 1, "an ended call has no socket to ask for"
    finally:
        await page.browser.call("Page.removeScriptToEvaluateOnNewDocument", **added)
        await caller.hang_up()


async def test_the_engine_and_its_queue_are_shown(page):
    await page.open("#/engine")
    await page.until("document.querySelectorAll('.cards .card').length >= 5")
    text = await page.text()
    assert "0 of 500" in text
    assert "tone" in text.casefold()
    assert "[object" not in text


async def test_the_playground_speaks_and_shows_the_sound(page):
    await page.open("#/playground")
    await page.until("document.querySelector('select option') !== null")
    await page.click("#speak")
    await page.until("/first sound after \\d+ ms · .* s of sound/.test(spoken.textContent)")
    assert "24000 Hz" in await page.text("#spoken")
    assert await page.browser.evaluate("document.querySelector('canvas.spoken').width") > 300


async def test_nothing_is_wider_than_a_telephone(page, ended):
    await page.screen(360, 740, mobile=True)
    for fragment in ("#/calls", f"#/call/{ended}", "#/engine", "#/playground"):
        await page.open(fragment)
        await page.until("document.querySelector('.card, .calls a') !== null")
        assert await page.browser.evaluate("document.documentElement.scrollWidth") <= 360, fragment


async def test_it_is_dark_where_that_is_preferred_and_light_where_one_wants_it(page):
    background = "getComputedStyle(document.body).backgroundColor"
    await page.scheme("dark")
    await page.open("#/engine")
    dark = await page.browser.evaluate(background)
    await page.click("#theme")
    light = await page.browser.evaluate(background)
    assert dark != light
    await page.browser.evaluate("localStorage.clear()")
    await page.scheme("light")
    await page.open("#/engine")
    assert await page.browser.evaluate(background) == light


WRITTEN_ON_THE_TIMELINE = ("--text", "--unheard", "--dim", "--bargein", "--mark")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_text_is_pale(page, server, ended, scheme, monkeypatch):
    monkeypatch.setattr(CallLimit, "is_reached", lambda limit, calls: False)  # a browser beside it makes frames late
    caller = await server.call()
    try:
        await page.scheme(scheme)
        for fragment in ("#/calls", f"#/call/{ended}", f"#/call/{caller.id}", "#/engine", "#/playground"):
            await page.open(fragment)
            await page.until("document.querySelector('.card, .calls a, .row, .actions') !== null")
            assert await pale(page.browser, *WRITTEN_ON_THE_TIMELINE) == [], fragment
            await page.browser.evaluate("document.querySelectorAll('.row').forEach(row => row.classList.add('now'))")
            assert await pale(page.browser) == [], f"{fragment}, where it is played"
    finally:
        await page.scheme("light")
        await caller.hang_up()


async def test_who_logs_out_sees_nothing_more(page):
    await page.open("#/calls")
    await page.until("document.querySelector('#search') !== null")
    await page.click("#logout")
    await page.until("document.querySelector('form.login') !== null")
    assert await page.browser.evaluate("fetch('/console/recorded').then(answer => answer.status)") == 401
    await page.log_in(KEY)
    await page.until("document.querySelector('#search') !== null")
    page.browser.complaints.clear()  # of the 401
