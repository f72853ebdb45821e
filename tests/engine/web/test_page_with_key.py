"""The page at /docs in a real browser, where the server wants a key."""

from __future__ import annotations

import pytest_asyncio

from tests.engine.web.test_page import PLAYS, SECONDS, TEXT, choose, says
from tests.support.browser import open_browser
from tests.support.speech_server import speech_server
from tests.support.tone_engine import ToneEngine

KEY = "a key/with+signs=ü€"
SPEAK = "document.querySelector('form.try button').click();"
RECORDING = """
  const header = new Uint8Array(wavHeader(96000, 1, 24000));
  const sound = Int16Array.from({ length: 48000 }, (_, index) => 9000 * Math.sin(index / 20));
  const files = new DataTransfer();
  files.items.add(new File([header, sound], 'reference.wav', { type: 'audio/wav' }));
  document.querySelector('[name=file]').files = files.files;"""


@pytest_asyncio.fixture
async def engine():
    return ToneEngine()


@pytest_asyncio.fixture
async def page(engine, tmp_path):
    """The page of a server with a key, opened without one."""
    async with (
        speech_server(engine, tmp_path / "voices", api_key=KEY, audio_cache_max=0) as server,
        open_browser(tmp_path / "profile") as browser,
    ):
        await browser.call("Page.enable")
        await browser.call("Page.navigate", url=f"{server.url}/")  # leads to /docs
        while await browser.evaluate("document.readyState + document.title") != "completeTalkspurt":
            pass
        assert await browser.evaluate("location.pathname") == "/docs"
        await browser.evaluate(choose("input", TEXT) + choose("response_format", "wav"))
        yield browser


async def test_speaks_and_clones_with_the_key_and_says_so_without(page, engine):
    await page.evaluate(SPEAK)
    assert "key" in await page.evaluate(says("[Kk]ey"))
    await page.evaluate(choose("key", "wrong") + SPEAK)
    assert "key" in await page.evaluate(says("[Kk]ey"))
    assert not engine.spoken

    outcome = await page.evaluate(f"{choose('key', KEY)} {SPEAK} {PLAYS}")
    assert abs(outcome["seconds"] - SECONDS) < 0.1
    assert "first sound after" in await page.evaluate(says(" s of sound"))
    await page.evaluate(choose("response_format", "pcm") + SPEAK)
    assert "0.3 s of sound" in await page.evaluate(says(" s of sound"))

    await page.evaluate("{" + choose("ref_text", "What is said.") + RECORDING + SPEAK + "}")
    while len(engine.spoken) < 3:
        await page.evaluate("new Promise(resolve => setTimeout(resolve, 20))")
    text, style = engine.spoken[-1]
    assert (text, style.reference.text) == (TEXT, "What is said.")
    assert "first sound after" in await page.evaluate(says(" s of sound"))
