"""A speech-to-speech service that speaks OpenAI's Realtime protocol: it hears sound, and answers as a test tells it to.

It is as strict as the real one about the order and form of messages, and can be told to misbehave.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web

RATE_HZ = 24_000
LEVEL = 8_000
"""Every sample of what it says."""
LOUD = 400
END_MS = 300
"""Silence after which the caller is done."""
DELTA_MS = 200


@dataclass
class Say:
    """One answer: so much sound, with these words, and these tools called after it."""

    text: str = ""
    ms: int = 0
    tools: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    slow_s: float = 0.0
    """Before its first sound."""
    hang: bool = False
    """Say nothing at all."""
    hold: bool = False
    """After its sound, wait for `go_on`."""
    failed: bool = False
    stalls: bool = False
    """Say nothing more after its sound, without ending."""


class Session:
    """One client's connection."""

    def __init__(self, service: RealtimeService, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.service, self.socket, self.request = service, socket, request
        self.events: list[dict[str, Any]] = []
        """What the client has sent, but for sound."""
        self.audio = bytearray()
        self.outputs: list[tuple[str, str]] = []
        """Call and output of each tool."""
        self.truncated: list[tuple[str, int]] = []
        self.item_ms: dict[str, int] = {}
        """How much sound each item has had."""
        self._speech = False
        self._silent_ms = 0
        self._count = 0
        self._answering: asyncio.Task[None] | None = None

    async def tell(self, kind: str, **fields: Any) -> None:
        self._count += 1
        with suppress(ConnectionError):
            await self.socket.send_json({"type": kind, "event_id": f"event_{self._count}", **fields})

    async def take(self, event: dict[str, Any]) -> None:
        if event["type"] == "input_audio_buffer.append":
            await self._hear(base64.b64decode(event["audio"], validate=True))
            return
        self.events.append(event)
        match event:
            case {"type": "session.update", "session": {"type": "realtime", "audio": audio}}:
                for side in ("input", "output"):
                    assert audio[side]["format"] == {"type": "audio/pcm", "rate": RATE_HZ}
                if not self.service.silent:
                    await self.tell("session.updated", session=event["session"])
            case {"type": "response.create"}:
                if self._answering is not None:
                    await self.tell("error", error={"type": "invalid_request_error", "message": "active response"})
                else:
                    self._answer()
            case {"type": "response.cancel"}:
                await self._cancel("client_cancelled")
            case {"type": "conversation.item.truncate", "item_id": item, "content_index": 0, "audio_end_ms": ms}:
                assert 0 <= ms <= self.item_ms[item], f"{ms} ms of {self.item_ms[item]}"
                self.truncated.append((item, ms))
                await self.tell("conversation.item.truncated", item_id=item, content_index=0, audio_end_ms=ms)
            case {"type": "conversation.item.create", "item": {"type": "function_call_output"} as item}:
                self.outputs.append((item["call_id"], item["output"]))
            case {"type": "conversation.item.create", "item": {"type": "message", "role": "user"}}:
                pass
            case _:
                raise AssertionError(f"unknown event: {event}")
        self.service.changed.set()

    async def _hear(self, pcm: bytes) -> None:
        self.audio += pcm
        at_ms = len(self.audio) * 1000 // (2 * RATE_HZ)
        loud = bool(np.abs(np.frombuffer(pcm, np.int16).astype(int)).max(initial=0) > LOUD)
        self._silent_ms = 0 if loud else self._silent_ms + len(pcm) * 1000 // (2 * RATE_HZ)
        if loud and not self._speech:
            self._speech = True
            await self._cancel("turn_detected")
            await self.tell("input_audio_buffer.speech_started", audio_start_ms=at_ms, item_id=f"user_{at_ms}")
            self.service.changed.set()
        elif self._speech and self._silent_ms >= END_MS:
            self._speech = False
            await self.tell("input_audio_buffer.speech_stopped", audio_end_ms=at_ms - END_MS, item_id=f"user_{at_ms}")
            await self.tell("input_audio_buffer.committed", item_id=f"user_{at_ms}", previous_item_id=None)
            said = self.service.caller_says.pop(0) if self.service.caller_says else "hello"
            kind = "conversation.item.input_audio_transcription.completed"
            await self.tell(kind, item_id=f"user_{at_ms}", content_index=0, transcript=said)
            self._answer()

    def _answer(self) -> None:
        say = self.service.answers.pop(0) if self.service.answers else Say("Yes.", 400)
        self._count += 1
        self._answering = asyncio.create_task(self._speak(say, f"resp_{self._count}"))

    async def _cancel(self, reason: str) -> None:
        task, self._answering = self._answering, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            response = {"id": task.get_name(), "status": "cancelled", "output": []}
            await self.tell("response.done", response=response | {"status_details": {"reason": reason}})

    async def _speak(self, say: Say, response: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.set_name(response)
        if say.hang:
            await asyncio.Event().wait()
        await self.tell("response.created", response={"id": response, "status": "in_progress"})
        await asyncio.sleep(say.slow_s)
        item = f"item_{response}"
        where = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
        if say.ms:
            words = say.text.split(" ")
            deltas = max(say.ms // DELTA_MS, 1)
            pcm = np.full(say.ms * RATE_HZ // 1000 // deltas, LEVEL, np.int16).tobytes()
            for number in range(deltas):
                self.item_ms[item] = self.item_ms.get(item, 0) + len(pcm) * 1000 // (2 * RATE_HZ)
                await self.tell("response.output_audio.delta", delta=base64.b64encode(pcm).decode(), **where)
                part = words[number * len(words) // deltas : (number + 1) * len(words) // deltas]
                if part:
                    await self.tell("response.output_audio_transcript.delta", delta=" ".join(part) + " ", **where)
            if say.stalls:
                await asyncio.Event().wait()
            if say.hold:
                await self.service.go_on.wait()
            await self.tell("response.output_audio.done", **where)
            await self.tell("response.output_audio_transcript.done", transcript=say.text, **where)
        output = [
            {
                "id": f"fc_{response}_{number}", "type": "function_call", "status": "completed",
                "call_id": f"call_{response}_{number}", "name": name, "arguments": json.dumps(arguments),
            }
            for number, (name, arguments) in enumerate(say.tools)
        ]  # fmt: skip
        self._answering = None
        status = "failed" if say.failed else "completed"
        await self.tell("response.done", response={"id": response, "status": status, "output": output})


class RealtimeService:
    """`url` while it runs; an async context manager. Answers are given in order, and then "Yes."."""

    def __init__(self, *answers: Say, caller_says: list[str] | None = None) -> None:
        self.answers = list(answers)
        self.caller_says = list(caller_says or [])
        self.sessions: list[Session] = []
        self.changed = asyncio.Event()
        """Set by whatever comes in but sound."""
        self.go_on = asyncio.Event()
        self.refuses = False
        self.silent = False
        """Take everything and never confirm a session."""
        self.url = ""

    async def __aenter__(self) -> RealtimeService:
        app = web.Application()
        app.router.add_get("/v1/realtime", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def until(self, condition: Callable[[], Any], timeout_s: float = 20.0) -> None:
        """Wait until `condition`, looked at whenever something comes in, is true."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    @property
    def session(self) -> Session:
        return self.sessions[-1]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self.refuses or request.headers.get("Authorization") != "Bearer k3y-of-realtime":
            raise web.HTTPUnauthorized
        assert request.query["model"] == "gpt-realtime"
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        session = Session(self, socket, request)
        self.sessions.append(session)
        await session.tell("session.created", session={"type": "realtime"})
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await session.take(json.loads(message.data))
        return socket

    def die(self) -> None:
        """End as a process does that is killed."""
        transport = self.session.request.transport
        assert transport is not None
        transport.abort()
