"""Arize Phoenix, a collector of traces that is not ours: it takes OTLP, keeps spans, and tells of them over HTTP."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.support.clients import interpreter
from tests.support.lasting_port import lasting_port

START_S: Final = 240
"""It imports for 10 s on a quiet machine, and a minute on a busy one."""
LOOK_S: Final = 0.2
LIMIT: Final = 100


class Phoenix:
    """A running collector. Its endpoint for OTLP is `url`."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url, self._http = url, http

    async def spans(self) -> list[dict[str, Any]]:
        """Returns the spans that it has, at most LIMIT, as its own API tells of them."""
        async with self._http.get(f"/v1/projects/default/spans?limit={LIMIT}") as response:
            return list((await response.json())["data"]) if response.status == 200 else []

    async def until(self, name: str) -> list[dict[str, Any]]:
        """Returns its spans once one of this name is among them: it keeps them a moment after it took them."""
        while True:
            spans = await self.spans()
            if any(span["name"] == name for span in spans):
                return spans
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def running_phoenix(folder: Path) -> AsyncIterator[Phoenix]:
    """Starts one on loopback, with its database in `folder`; it tells nobody else of anything."""
    program = (await asyncio.to_thread(interpreter, "phoenix")).with_name("phoenix")
    port, grpc_port = lasting_port(), lasting_port()
    settings = {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc_port),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }
    log = folder / "phoenix.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program, "serve", env=os.environ | settings, stdout=output, stderr=output
        )
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            async with asyncio.timeout(START_S):
                while not await _is_up(http):
                    assert process.returncode is None, log.read_text()[-3_000:]
                    await asyncio.sleep(LOOK_S)
            yield Phoenix(f"http://127.0.0.1:{port}", http)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _is_up(http: aiohttp.ClientSession) -> bool:
    try:
        async with http.get("/healthz") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False
