"""The page at /docs in a real browser, where there is one: Debian's chromium, driven over its own protocol."""

from __future__ import annotations

import asyncio
import json
import shutil

import aiohttp
import pytest

from tests.support.speech_server import speech_server
from tests.support.tone_engine import ToneEngine

CHROMIUM = shutil.which("chromium")
CLICK = "document.querySelector('form.try button').click()"
OUTCOME = """new Promise(resolve => {
  const audio = document.querySelector('audio');
  const said = () => document.querySelector('output').value;
  audio.addEventListener('loadedmetadata', () => resolve({ seconds: audio.duration, said: said() }));
  audio.addEventListener('error', () => resolve({ error: audio.error.message }));
})"""


class Browser:
    """One page of a headless browser."""

    def __init__(self, socket):
        self._socket = socket
        self._number = 0
        self.complaints = []
        """What the page's console says."""

    async def call(self, method, **parameters):
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            answer = await self._socket.receive_json(timeout=30)
            if answer.get("method") == "Log.entryAdded":
                self.complaints.append(answer["params"]["entry"]["text"])
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    async def evaluate(self, script):
        result = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")


@pytest.fixture
async def browser(tmp_path):
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium")
    process = await asyncio.create_subprocess_exec(
        *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"),
        *(f"--user-data-dir={tmp_path / 'profile'}", "--no-first-run", "about:blank"),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(60):
            while b"DevTools listening on" not in (line := await process.stderr.readline()):
                assert line, "chromium ended at once"
        port = line.decode().split("//")[1].split("/")[0].rpartition(":")[2]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as response:
                page = next(target for target in await response.json() if target["type"] == "page")
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Browser(socket)
    finally:
        process.kill()
        await process.communicate()


async def test_the_page_speaks(browser, tmp_path):
    engine = ToneEngine()
    async with speech_server(engine, tmp_path / "voices") as server:
        await browser.call("Log.enable")
        await browser.call("Page.enable")
        await browser.call("Page.navigate", url=f"{server.url}/docs")
        while await browser.evaluate("document.readyState + document.title") != "completeTalkspurt":
            pass
        await browser.evaluate("document.querySelector('textarea').value = 'From the page.'")
        await browser.evaluate("document.querySelector('[name=response_format]').value = 'mp3'")
        outcome = await browser.evaluate(f"{CLICK}; {OUTCOME}")
        assert outcome["seconds"] == pytest.approx(len("From the page.") * 0.02, abs=0.2), outcome
        assert "24000 Hz" in outcome["said"]
        assert engine.spoken[0][0] == "From the page."
        anchors = "[...document.querySelectorAll('nav a')].map(link => link.hash.slice(1))"
        found = f"JSON.stringify({anchors}.map(id => !!document.getElementById(id)))"
        links = json.loads(await browser.evaluate(found))
        assert len(links) >= 14
        assert all(links)
        assert [complaint for complaint in browser.complaints if "favicon" not in complaint] == []
