"""The page at /docs in a real browser: what it says, and its playground."""

from __future__ import annotations

import json

import pytest
import pytest_asyncio

from tests.support.browser import open_browser
from tests.support.contrast import pale
from tests.support.speech_server import speech_server
from tests.support.tone_engine import ToneEngine

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "From the page."
SECONDS = len(TEXT) * 0.02
PLAYS = """new Promise(resolve => {
  const audio = document.querySelector('audio');
  audio.addEventListener('loadedmetadata', () => resolve({ seconds: audio.duration }), { once: true });
  audio.addEventListener('error', () => resolve({ error: audio.error.message }), { once: true });
})"""
SAYS = """new Promise(resolve => {
  const look = () => %s.test(document.querySelector('output').value)
    ? resolve(document.querySelector('output').value) : setTimeout(look, 20);
  look();
})"""
PAINTED = """(() => {
  const canvas = document.querySelector('canvas');
  const { data, width, height } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const rows = new Set();
  for (let at = 3; at < data.length; at += 4) if (data[at] > 128) rows.add(Math.floor((at >> 2) / width));
  return rows.size / height;
})()"""
"""The share of the waveform's rows with something on them: a flat line has hardly one."""
ENTER = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "modifiers": 2}
ESCAPE = {"key": "Escape", "code": "Escape", "windowsVirtualKeyCode": 27}


def says(pattern: str) -> str:
    """A script that waits until the playground says what matches."""
    return SAYS % f"/{pattern}/"


def choose(name: str, value: str) -> str:
    return f"document.querySelector('[name={name}]').value = {json.dumps(value)};"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine():
    return ToneEngine()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(engine, tmp_path_factory):
    async with speech_server(engine, tmp_path_factory.mktemp("voices"), audio_cache_max=0) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser(tmp_path_factory):
    async with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        await browser.call("Log.enable")
        await browser.call("Page.enable")
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser, server, engine):
    """The page as it is when it was just loaded, without anything that the policy or the script complains about."""
    engine.spoken.clear()
    await browser.call("Page.navigate", url="about:blank")
    await browser.call("Page.navigate", url=f"{server.url}/docs")
    while await browser.evaluate("document.readyState + document.title") != "completeTalkspurt":
        pass
    await browser.evaluate(choose("input", TEXT))
    yield browser
    ours = ("favicon", "willReadFrequently")  # the latter is about how these tests look at the waveform
    complaints = [complaint for complaint in browser.complaints if not any(word in complaint for word in ours)]
    browser.complaints.clear()
    assert complaints == []


async def test_plays_a_format_when_it_is_whole(page, engine):
    script = choose("response_format", "mp3") + choose("speed", "1.25") + choose("voice", "high")
    outcome = await page.evaluate(f"{script} document.querySelector('form.try button').click(); {PLAYS}")
    assert outcome["seconds"] == pytest.approx(SECONDS / 1.25, abs=0.2), outcome
    said = await page.evaluate(says("24000 Hz"))
    assert "first sound after" in said
    text, style = engine.spoken[0]
    assert (text, style.voice, style.speed) == (TEXT, "high", 1.25)
    assert await page.evaluate(PAINTED) > 0.2


async def test_hears_pcm_while_it_is_made_and_escape_stops_it(page, engine):
    assert await page.evaluate(PAINTED) < 0.2
    engine.hold(chunks=2)
    try:
        await page.evaluate("document.querySelector('textarea').focus()")
        await page.call("Input.dispatchKeyEvent", type="keyDown", **ENTER)
        await page.evaluate(says("first sound after"))
        assert await page.evaluate(PAINTED) > 0.2, "nothing is drawn before the end"
        assert engine.open_streams == 1
        await page.call("Input.dispatchKeyEvent", type="keyDown", **ESCAPE)
        assert await page.evaluate(says("stopped")) == "stopped"
        await engine.idle.wait()
    finally:
        engine.release()
    await page.call("Input.dispatchKeyEvent", type="keyDown", **ENTER)
    assert "0.3 s of sound" in await page.evaluate(says(" s of sound"))


@pytest.mark.parametrize("name", ["wav", "flac", "opus", "mulaw", "alaw", "pcm"])
async def test_each_format_plays(page, name):
    script = f"{choose('response_format', name)} document.querySelector('form.try button').click(); {PLAYS}"
    outcome = await page.evaluate(script)
    assert outcome.get("seconds") == pytest.approx(SECONDS, abs=0.1), outcome
    assert "0.3 s of sound" in await page.evaluate(says(" s of sound"))


async def test_clones_a_recording(page, engine):
    script = """
      const header = new Uint8Array(wavHeader(96000, 1, 24000));
      const sound = Int16Array.from({ length: 48000 }, (_, index) => 9000 * Math.sin(index / 20));
      const files = new DataTransfer();
      files.items.add(new File([header, sound], 'reference.wav', { type: 'audio/wav' }));
      document.querySelector('[name=file]').files = files.files;
      document.querySelector('form.try button').click();"""
    await page.evaluate("{" + choose("ref_text", "What is said.") + script + "}")
    assert "first sound after" in await page.evaluate(says(" s of sound"))
    text, style = engine.spoken[0]
    assert (text, style.reference.text) == (TEXT, "What is said.")


async def test_says_why_it_cannot_speak(page):
    await page.evaluate(f"{choose('input', '')} document.querySelector('form.try button').click()")
    said = await page.evaluate(says("."))
    while said == "asking …":
        said = await page.evaluate(says("."))
    assert "input" in said
    page.complaints.clear()  # the browser's console tells of the status 400


async def test_fits_a_telephone(page):
    await page.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
    try:
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    finally:
        await page.call("Emulation.clearDeviceMetricsOverride")


async def test_is_dark_where_the_reader_wants_it(page):
    colours = set()
    for scheme in ("light", "dark"):
        await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        colours.add(await page.evaluate("getComputedStyle(document.querySelector('.primary')).backgroundColor"))
    assert len(colours) == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_text_is_pale(page, scheme):
    await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    assert await pale(page) == []


async def test_every_link_of_the_contents_leads_somewhere(page):
    anchors = "[...document.querySelectorAll('nav a')].map(link => link.hash.slice(1))"
    links = json.loads(await page.evaluate(f"JSON.stringify({anchors}.map(id => !!document.getElementById(id)))"))
    assert len(links) >= 14
    assert all(links)


async def test_every_control_has_a_name(page):
    unnamed = """[...document.querySelectorAll('.try input, .try select, .try textarea')]
      .filter(control => !control.labels.length).map(control => control.name)"""
    assert await page.evaluate(unnamed) == []
