"""A speech server elsewhere, for a server that runs as a process: it says everything in a tone, at once."""

from __future__ import annotations

import math
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from tests.support.serving import serving

RATE_HZ: Final = 24_000
MS_A_LETTER: Final = 60
_LETTER: Final = b"".join(
    struct.pack("<h", int(9_000 * math.sin(0.1 * n))) for n in range(RATE_HZ * MS_A_LETTER // 1000)
)


async def _answer(request: web.Request) -> web.Response:
    if request.method == "GET":
        return web.json_response({"voices": [{"id": "one"}]})
    text = (await request.json())["input"]
    return web.Response(body=_LETTER * len(text), content_type="audio/pcm")


@asynccontextmanager
async def tone_server() -> AsyncIterator[dict[str, str]]:
    """The settings of a server that speaks by it."""
    async with serving(_answer) as url:
        yield {"ENGINE": "remote", "REMOTE_URL": url, "APOLOGY": "No."}
