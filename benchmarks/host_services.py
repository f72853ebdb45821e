"""The recogniser and the language model of `benchmarks.host`, both scripted, in a process of their own.

    python -m benchmarks.host_services PORT SEED       several processes share the port

The recogniser speaks Deepgram's Flux: it hears where the sound begins and ends, and always the same words, with the
call's id in them. The model answers with one or two sentences, a token every 20 ms, and notes when the first sentence
has been sent. For each line on standard input it prints what it has noted since: [call, seconds of the monotonic clock]
of each. It ends with standard input.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from contextlib import suppress
from random import Random
from typing import Any, Final

import numpy as np
import uvloop
from aiohttp import WSMsgType, web

VOICED: Final = 500
"""The level of a sample of a caller's that is not silence."""
QUIET_PIECES: Final = 10
"""So many silent pieces of 20 ms end a turn."""
FIRST_TOKEN_S: Final = 0.1
TOKEN_S: Final = 0.02
FIRST: Final = "Your parcel will be with you by noon."
SECOND: Final = " Is there anything else I can do for you?"
CALL_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Turns:
    """Hears in the pieces of a call's sound when a turn begins and ends. No I/O."""

    def __init__(self, words: str) -> None:
        self._words = words
        self._quiet: int | None = None
        """The silent pieces since the last sound of this turn; None between turns."""

    def hear(self, piece: bytes) -> dict[str, Any] | None:
        """Returns Flux's message where a turn begins or ends with this piece."""
        if np.abs(np.frombuffer(piece, "<i2")).max(initial=0) > VOICED:
            begins, self._quiet = self._quiet is None, 0
            return {"type": "TurnInfo", "event": "StartOfTurn", "transcript": ""} if begins else None
        if self._quiet is None:
            return None
        self._quiet += 1
        if self._quiet < QUIET_PIECES:
            return None
        self._quiet = None
        return {"type": "TurnInfo", "event": "EndOfTurn", "transcript": self._words}


class Services:
    """Both services."""

    def __init__(self, chance: Random) -> None:
        self.texts: list[tuple[str, float]] = []
        """The call, and when the first sentence of an answer was sent to it."""
        self._chance = chance

    async def listen(self, request: web.Request) -> web.WebSocketResponse:
        """Recognises one call."""
        turns = Turns(f"I call about the parcel {request.headers['X-Call-Id']}.")
        socket = web.WebSocketResponse()
        with suppress(ConnectionError):  # the call may be over
            await socket.prepare(request)
            async for message in socket:
                if message.type is WSMsgType.BINARY and (told := turns.hear(message.data)) is not None:
                    await socket.send_json(told)
        return socket

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answers as OpenAI's API does."""
        asked_s, call_id = time.monotonic(), CALL_ID.findall(await request.text())[-1]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        with suppress(ConnectionError):  # whoever has asked may have hung up
            await response.prepare(request)
            await self._say(response, call_id, asked_s + FIRST_TOKEN_S)
        return response

    async def _say(self, response: web.StreamResponse, call_id: str, due_s: float) -> None:
        first = re.findall(r"\S+\s*", FIRST)
        for number, token in enumerate(first + re.findall(r"\s*\S+", SECOND) * self._chance.randrange(2), 1):
            await asyncio.sleep(due_s - time.monotonic())
            due_s += TOKEN_S
            choice = {"index": 0, "delta": {"content": token}, "finish_reason": None}
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "host", "choices": [choice]}
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
            if number == len(first):
                self.texts.append((call_id, time.monotonic()))
        await response.write(b"data: [DONE]\n\n")


async def serve(port: int, seed: int) -> None:
    services, app = Services(Random(seed)), web.Application()
    app.router.add_get("/v2/listen", services.listen)
    app.router.add_post("/v1/chat/completions", services.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_port=True, backlog=2048).start()
    while await asyncio.to_thread(sys.stdin.readline):
        texts, services.texts = services.texts, []
        print(json.dumps(texts), flush=True)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
