"""A page in a real browser, where there is one: Debian's chromium, driven over its own protocol."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

CHROMIUM = shutil.which("chromium")
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"),
    "--autoplay-policy=no-user-gesture-required",
)
START_S = 60


class Browser:
    """One page of a headless browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.complaints: list[str] = []
        """What the page's console says."""

    async def call(self, method: str, **parameters: Any) -> Any:
        """Returns what a command of the DevTools protocol answers."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            answer = await self._socket.receive_json(timeout=30)
            if answer.get("method") == "Log.entryAdded":
                self.complaints.append(answer["params"]["entry"]["text"])
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    async def evaluate(self, script: str) -> Any:
        """Returns the value of a script in the page, or of its promise."""
        result = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")


@asynccontextmanager
async def open_browser(profile: Path) -> AsyncGenerator[Browser, None]:
    """A browser with one empty page. Skips the test where there is no browser."""
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium")
    process = await asyncio.create_subprocess_exec(
        *(CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", "about:blank"),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert process.stderr
    try:
        async with asyncio.timeout(START_S):
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
