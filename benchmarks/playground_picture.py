"""Takes the picture of the playground in docs/api.md: `python -m benchmarks.playground_picture docs/playground.png`."""

from __future__ import annotations

import asyncio
import base64
import sys
import tempfile
from pathlib import Path

from engine.hibari import HibariEngine
from tests.support.browser import open_browser
from tests.support.speech_server import speech_server

WIDTH, HEIGHT = 980, 680
SPOKEN = """new Promise(resolve => {
  document.querySelector('form.try button').click();
  document.querySelector('output').value = '';
  const look = () => /s of sound/.test(document.querySelector('output').value) ? resolve() : setTimeout(look, 20);
  look();
})"""


async def picture() -> bytes:
    engine = HibariEngine()
    await engine.start()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            speech_server(engine, Path(folder), audio_cache_max=0) as server,
            open_browser(Path(folder) / "profile") as browser,
        ):
            await browser.call("Page.enable")
            await browser.call(
                "Emulation.setDeviceMetricsOverride", width=WIDTH, height=HEIGHT, deviceScaleFactor=1, mobile=False
            )
            await browser.call("Page.navigate", url=f"{server.url}/docs")
            while await browser.evaluate("document.readyState + document.title") != "completeTalkspurt":
                pass  # each question waits for the browser's answer
            for _ in range(2):  # the first time also loads what the engine needs for its first text
                await browser.evaluate(SPOKEN)
            await browser.call("Emulation.setScrollbarsHidden", hidden=True)
            taken = await browser.call("Page.captureScreenshot", format="png")
    await engine.close()
    return base64.b64decode(taken["data"])


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(asyncio.run(picture()))
