"""A recogniser that is told what callers say, for servers under test: it never mishears and needs no model.

It speaks Qwen3-ASR's protocol: the server's own detector hears where speech begins and ends, and asks for the words.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Final

from aiohttp import WSMsgType, web

LATE_S: Final = 0.2
"""How long after the end of a word it is recognised."""
LOOK_S: Final = 0.1


class ToldWords:
    """The words of one call. Times are seconds of `time.monotonic()`. No I/O."""

    def __init__(self) -> None:
        self._words: list[tuple[str, float]] = []
        """Each word, and when it has been recognised."""
        self._given = 0
        """How many of them were in final transcripts."""

    def tell(self, text: str, start_s: float, end_s: float) -> None:
        """Learns that the caller says `text` between two moments: each of its letters takes as long."""
        words = text.split()
        letters = sum(len(word) for word in words)
        spoken = 0
        for word in words:
            spoken += len(word)
            self._words.append((word, start_s + (end_s - start_s) * spoken / letters + LATE_S))

    def partial(self, now_s: float) -> str:
        """Returns the words since the last final transcript."""
        return " ".join(word for word, at_s in self._words[self._given :] if at_s <= now_s)

    def final(self, now_s: float) -> str:
        """Returns the same words, and begins a new transcript."""
        text = self.partial(now_s)
        self._given += len(text.split())
        return text


class ToldRecogniser:
    """The service; an async context manager. `url` is where it listens."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self.url = ""
        self._now_s = now_s
        self._calls: dict[str, ToldWords] = {}

    async def __aenter__(self) -> ToldRecogniser:
        app = web.Application()
        app.router.add_get("/ws/transcribe", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def call(self, call_id: str) -> ToldWords:
        """Returns the words of a call, which may not have begun yet."""
        return self._calls.setdefault(call_id, ToldWords())

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        words = self.call(request.headers.get("X-Call-Id", ""))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        looking = asyncio.create_task(self._look(socket, words))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT and json.loads(message.data).get("action") == "flush":
                    await socket.send_json({"text": words.final(self._now_s()), "is_partial": False, "is_final": True})
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        return socket

    async def _look(self, socket: web.WebSocketResponse, words: ToldWords) -> None:
        told = ""
        while True:
            await asyncio.sleep(LOOK_S)
            text = words.partial(self._now_s())
            if text and text != told:
                await socket.send_json({"text": text, "is_partial": True, "is_final": False})
            told = text
