"""A whole conversation's cast: Asterisk, the server as a process, a recogniser, a language model, and a caller."""

from __future__ import annotations

import asyncio
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import numpy as np

from engine.audio import resample
from engine.speech import Pcm
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.signals import correlation, is_milliwatt
from tests.support.asterisk.sip import SipCall, dial
from tests.support.asterisk.talkspurt import Talkspurt
from tests.support.voices import caller_says

RATE_HZ = 8_000
LEVEL = 200
"""Of 32768: sound, on a line whose silence is digital."""


@dataclass
class Caller:
    """One caller in conversation: what they say, hear, and what the server tells of it."""

    id: str
    phone: SipCall
    server: Talkspurt
    socket: aiohttp.ClientWebSocketResponse
    events: list[dict[str, Any]] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _seen: int = 0

    async def say(self, text: str) -> None:
        """Returns when the last of it has been sent."""
        await self.phone.play(caller_says(text, RATE_HZ))

    async def until(self, kind: str, timeout_s: float = 30.0) -> dict[str, Any]:
        """The next event of this kind that was not waited for yet; those before it count as seen."""
        async with asyncio.timeout(timeout_s):
            while True:
                while self._seen < len(self.events):
                    event = self.events[self._seen]
                    self._seen += 1
                    if event["type"] == kind:
                        return event
                self._changed.clear()
                await self._changed.wait()

    async def signal(self, *events: dict[str, Any]) -> None:
        """Tell the server what a recogniser has heard."""
        await self.socket.send_json(list(events))

    async def words(self, text: str) -> None:
        """Tell it that these words were said."""
        completed = "conversation.item.input_audio_transcription.completed"
        await self.signal({"type": "input_audio_buffer.speech_started"}, {"type": "input_audio_buffer.speech_stopped"},
                          {"type": completed, "transcript": text})  # fmt: skip

    async def packets(self, count: int) -> list[bool]:
        """Of so many packets from now on: whether each has sound."""
        start = len(self.phone.packets)
        await self.phone.until(lambda: len(self.phone.packets) >= start + count, count * 0.02 + 10)
        return [packet.is_voiced for packet in self.phone.packets[start : start + count]]

    async def watch(self) -> None:
        """Keep the server's events as they come."""
        async for message in self.socket:
            self.events.append(json.loads(message.data))
            self._changed.set()


@asynccontextmanager
async def calling(asterisk: Asterisk, server: Talkspurt, kind: str = "try") -> AsyncIterator[Caller]:
    """A call through Asterisk, answered by the server."""
    call_id = str(uuid4())
    extension = server.extension(kind, call_id)
    async with aiohttp.ClientSession(server.url) as http, dial(asterisk.sip_address, extension) as phone:
        await phone.until(lambda: len(phone.packets) > 0, 10.0)
        async with http.ws_connect(f"/v1/calls/{call_id}/events") as socket:
            caller = Caller(call_id, phone, server, socket)
            watcher = asyncio.create_task(caller.watch())
            try:
                yield caller
            finally:
                watcher.cancel()
                await asyncio.gather(watcher, return_exceptions=True)


TONE_PACKETS = 10


async def until_tone(caller: Caller, start: int = 0, timeout_s: float = 15.0) -> int:
    """Wait for the tone by which the tests' dialplan goes on; returns the packet from index `start` on it begins at."""
    at = start

    def heard_tone() -> bool:
        nonlocal at
        packets = caller.phone.packets
        while at + TONE_PACKETS <= len(packets):
            if is_milliwatt(np.concatenate([packet.pcm for packet in packets[at : at + TONE_PACKETS]]), RATE_HZ):
                return True
            at += TONE_PACKETS // 2
        return False

    await caller.phone.until(heard_tone, timeout_s)
    return at


async def call_state(server: Talkspurt, call_id: str) -> dict[str, Any]:
    """The call's JSON."""
    async with aiohttp.ClientSession(server.url) as http, http.get(f"/v1/calls/{call_id}") as response:
        state: dict[str, Any] = await response.json()
        return state


async def next_destination(server: Talkspurt, call_id: str) -> str:
    """What the dialplan would be told."""
    async with aiohttp.ClientSession(server.url) as http, http.get(f"/v1/calls/{call_id}/next") as response:
        return await response.text()


def is_whole(said: Pcm, heard: Pcm, rate_hz: int) -> bool:
    """Every half second of it was heard, but for one in which the machine was late with a frame."""
    heard = np.pad(heard, rate_hz)  # what is missing at an end is missing
    pieces = np.array_split(said, len(said) * 2 // rate_hz)
    return sum(correlation(piece, heard) < 0.9 for piece in pieces) <= 1


async def made(server: Talkspurt, text: str) -> Pcm:
    """What the engine makes of it, at a telephone's rate."""
    body = {"input": text, "response_format": "pcm"}
    async with aiohttp.ClientSession(server.url) as http, http.post("/v1/audio/speech", json=body) as response:
        return resample(np.frombuffer(await response.read(), np.int16), 24_000, RATE_HZ)


def read_stereo(path: Path) -> tuple[Pcm, Pcm, int]:
    """A recording: caller, agent, and the rate in Hz."""
    with wave.open(str(path)) as wav:
        stereo = np.frombuffer(wav.readframes(wav.getnframes()), np.int16).reshape(-1, 2)
        return stereo[:, 0].copy(), stereo[:, 1].copy(), wav.getframerate()


def stretches_ms(pcm: Pcm, rate_hz: int, gap_ms: int = 700) -> list[tuple[int, int]]:
    """Where there is sound: start and end of each stretch, pauses shorter than `gap_ms` within one included."""
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > LEVEL) * 1000 // rate_hz
    if not len(loud):
        return []
    breaks = np.flatnonzero(np.diff(loud) > gap_ms)
    starts = [int(loud[0]), *(int(loud[i + 1]) for i in breaks)]
    ends = [*(int(loud[i]) for i in breaks), int(loud[-1])]
    return list(zip(starts, ends, strict=True))
