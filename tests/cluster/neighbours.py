"""The recogniser and the language model of the cluster: one server in the callers' process, which never err."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import numpy as np
from aiohttp import WSMsgType, web

from tests.cluster.words import NOTHING_ASKED, TEXTS, page_asked, page_text

VOICED: Final = 400
SILENCE_S: Final = 0.3
"""Silence after which the recogniser takes the caller for done."""
RATE_HZ: Final = 8_000
"""What it is sent: as the line has it, which costs the bridge least."""
FIRST_TOKEN_S: Final = 0.05
TOKEN_S: Final = 0.01


class Neighbours:
    """Hears when a caller speaks and is told what; answers with the page that was asked for last."""

    def __init__(self) -> None:
        self._said: dict[str, deque[str]] = {}

    def tell(self, call_id: str, text: str) -> None:
        """Learns what the caller of this call says next."""
        self._said.setdefault(call_id, deque()).append(text)

    async def listen(self, request: web.Request) -> web.WebSocketResponse:
        """Recognises as Deepgram does: speech by its loudness, its words by what was told."""
        said = self._said.setdefault(request.headers.get("X-Call-Id", ""), deque())
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        heard_s, voiced_s, speaking = 0.0, 0.0, False
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                continue
            pcm = np.frombuffer(message.data, "<i2")
            heard_s += pcm.size / RATE_HZ
            if pcm.size and max(pcm.max(), -int(pcm.min())) > VOICED:
                voiced_s = heard_s
                if not speaking:
                    speaking = True
                    await socket.send_json({"type": "SpeechStarted", "timestamp": heard_s})
            elif speaking and heard_s - voiced_s >= SILENCE_S:
                speaking = False
                words = {"alternatives": [{"transcript": said.popleft() if said else ""}]}
                span = {"start": 0.0, "duration": voiced_s, "is_final": True, "speech_final": True}
                await socket.send_json({"type": "Results", "channel": words, **span})
        return socket

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answers as OpenAI's chat API does."""
        messages = (await request.json())["messages"]
        page = page_asked([str(each["content"]) for each in messages if each["role"] == "user"])
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(FIRST_TOKEN_S)
        for word in (page_text(page) if page is not None else TEXTS[NOTHING_ASKED]).split():
            choice = {"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
            await asyncio.sleep(TOKEN_S)
        await response.write(b"data: [DONE]\n\n")
        return response


def neighbour_settings(port: int) -> dict[str, str]:
    """Returns the settings by which a bridge finds both at this port."""
    return {
        "ASR_URL": f"ws://127.0.0.1:{port}",
        "ASR_PROTOCOL": "deepgram",
        "ASR_SAMPLE_RATE": str(RATE_HZ),
        "ASR_TIMEOUT_MS": "30000",  # this process may be held up on a busy machine
        "LLM_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "LLM_MODEL": "pages",
        "LLM_TIMEOUT_MS": "30000",
    }


@asynccontextmanager
async def neighbours(port: int) -> AsyncIterator[Neighbours]:
    """Serves both at a port of loopback."""
    these = Neighbours()
    app = web.Application()
    app.router.add_get("/v1/listen", these.listen)
    app.router.add_post("/v1/chat/completions", these.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield these
    finally:
        await runner.cleanup()
