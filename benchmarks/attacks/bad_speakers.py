"""Speech-to-speech services that turned bad: they hold the attacker's call, and send as fast as they are read.

They are good to the calls of the ten others: they take their sound and say nothing.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import WSMsgType, web

from benchmarks.attacks.target import Answers, Target
from benchmarks.attacks.wire import CHUNK_BYTES, PING, TEXT, unmasked
from bridge.dial.caller import Caller
from bridge.realtime.protocol import RATE_HZ

PAUSE_S: Final = 0.2
"""From the end of one call of the attacker's to the next: a call ends where its service is given up."""
DRAIN_S: Final = 0.001
SOUND: Final = base64.b64encode(bytes(RATE_HZ // 50 * 2)).decode()
"""20 ms."""
LONG_SOUND: Final = base64.b64encode(bytes(190_000)).decode()
"""Four seconds, nearly the longest message that is taken."""


class BadSpeaker:
    """The service. With no pieces it takes the connection and never answers."""

    def __init__(self, pieces: Callable[[], Iterator[bytes]], *, confirms: bool = True) -> None:
        self._pieces = pieces
        self._confirms = confirms
        self._bad = False
        self._connections = 0

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Mapping[str, str]]:
        """Serves, and gives the settings that lead to it."""
        self._bad, self._connections = False, 0
        app = web.Application()
        app.router.add_get("/v1/realtime", self._hold)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"ws://127.0.0.1:{runner.addresses[0][1]}"
            yield {"BRAIN": "realtime", "REALTIME_URL": url, "GREETING": "", "NO_INPUT_TIMEOUT_MS": "0"}
        finally:
            await runner.cleanup()

    async def run(self, target: Target, answers: Answers) -> None:
        """One call after the other whose caller need not say a word."""
        self._bad = True
        try:
            while True:
                caller = Caller()
                await caller.connect(target.host, target.port)
                try:
                    await caller.ended.wait()
                finally:
                    caller.hang_up()
                await asyncio.sleep(PAUSE_S)
        finally:
            answers["connected"] += self._connections

    async def _hold(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        bad, pouring = self._bad, None
        if bad:
            self._connections += 1
        if self._confirms or not bad:
            await socket.send_json({"type": "session.updated", "session": {"type": "realtime"}})
        if bad:
            assert request.transport is not None
            pouring = asyncio.create_task(_pour(request.transport, self._pieces()))
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:
                    break
        finally:
            if pouring is not None:
                pouring.cancel()
        return socket


async def _pour(transport: asyncio.Transport, pieces: Iterator[bytes]) -> None:
    """Sends without an end, many pieces at once."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        if len(waiting) >= CHUNK_BYTES:
            transport.write(bytes(waiting))
            waiting.clear()
            await asyncio.sleep(0)
            while transport.get_write_buffer_size() > CHUNK_BYTES:  # noqa: ASYNC110  (it tells nobody)
                await asyncio.sleep(DRAIN_S)
    transport.write(bytes(waiting))


def silence() -> Iterator[bytes]:
    """Nothing."""
    return iter(())


def messages() -> Iterator[bytes]:
    """Messages that do not matter here."""
    return itertools.repeat(_event("rate_limits.updated"))


def no_json() -> Iterator[bytes]:
    """What cannot be read."""
    return itertools.repeat(unmasked(TEXT, b"{"))


def deep_json() -> Iterator[bytes]:
    """Lists in lists, 100,000 of them, and every other message one that can be read."""
    return itertools.cycle((unmasked(TEXT, b'{"type":' + b"[" * 100_000), _event("rate_limits.updated")))


def endless_message() -> Iterator[bytes]:
    """The beginning of a message, and ever more of its middle."""
    yield unmasked(TEXT, b'{"type":"' + b"a" * 1_000, ends=False)
    yield from itertools.repeat(unmasked(0, b"a" * 1_000, ends=False))


def pings() -> Iterator[bytes]:
    """Each of them wants a pong."""
    return itertools.repeat(unmasked(PING, b""))


def sound() -> Iterator[bytes]:
    """One answer whose sound has no end."""
    yield _event("response.created", response={"id": "answer"})
    yield from itertools.repeat(_sound("answer", "item", SOUND))


def long_sound() -> Iterator[bytes]:
    """The same in the largest pieces that are taken."""
    yield _event("response.created", response={"id": "answer"})
    yield from itertools.repeat(_sound("answer", "item", LONG_SOUND))


def items() -> Iterator[bytes]:
    """Answers of one item each, and never an end of one."""
    for number in itertools.count():
        yield _sound(f"answer {number}", f"item {number}", SOUND)


def long_items() -> Iterator[bytes]:
    """The same in the largest pieces that are taken."""
    for number in itertools.count():
        yield _sound(f"answer {number}", f"item {number}", LONG_SOUND)


def words() -> Iterator[bytes]:
    """Ever more words to one item."""
    yield _sound("answer", "item", SOUND)
    yield from itertools.repeat(_event("response.output_audio_transcript.delta", item_id="item", delta="word " * 4_000))


def speech() -> Iterator[bytes]:
    """The caller begins to speak, ends and is understood, while the service answers, over and over."""
    for number in itertools.count():
        yield _sound(f"answer {number}", f"item {number}", SOUND)
        yield _event("input_audio_buffer.speech_started", audio_start_ms=number, item_id=f"user {number}")
        yield _event("input_audio_buffer.speech_stopped", audio_end_ms=number, item_id=f"user {number}")
        yield _event("conversation.item.input_audio_transcription.completed", transcript=f"I said {number}.")


def failures() -> Iterator[bytes]:
    """Every other answer has failed, and is asked for again."""
    for number in itertools.count():
        status = "completed" if number % 2 else "failed"
        yield _event("response.done", response={"id": f"answer {number}", "status": status, "output": []})


def tools() -> Iterator[bytes]:
    """As many tools as one answer may call, and words of the caller before each, so that it is no circle."""
    call = {"type": "function_call", "name": "hangup", "arguments": '{"a":'}
    output = [call | {"call_id": str(number)} for number in range(100)]
    for number in itertools.count():
        yield _event("input_audio_buffer.speech_started", audio_start_ms=number, item_id=f"user {number}")
        yield _event("response.done", response={"id": f"answer {number}", "status": "completed", "output": output})


def _sound(answer: str, item: str, delta: str) -> bytes:
    return _event("response.output_audio.delta", response_id=answer, item_id=item, delta=delta)


def _event(kind: str, **fields: Any) -> bytes:
    return unmasked(TEXT, json.dumps({"type": kind, "event_id": "event", **fields}).encode())
