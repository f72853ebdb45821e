"""Barge-in with a hundred calls up: each falls silent within one frame of its signal, and nothing stale follows.

What is counted are the frames of each call, not the time that a busy machine takes for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

from bridge.conversation.conversation import Conversation
from bridge.dial.caller import Caller
from bridge.line.call import Call, CallObserver
from tests.support.llm_server import Answer, LlmServer
from tests.support.whole_app import Bench, whole_app

CALLS = 100
FRAMES_PER_LETTER = 5
LONG = "This answer would go on for ten seconds if nobody were to interrupt it, and it is not to be heard whole."
REPLY = "Of course."
STARTED = {"type": "input_audio_buffer.speech_started"}
COMPLETED = {"type": "conversation.item.input_audio_transcription.completed", "transcript": "stop that"}


class Frames(CallObserver):
    """A call's, as they leave."""

    def __init__(self, call: Call) -> None:
        self.voiced: list[bool] = []
        self._changed = asyncio.Event()
        call.observe(self)

    def frame_sent(self, pcm: bytes, rate_hz: int) -> None:
        self.voiced.append(any(pcm))
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition`, looked at with every frame, is true."""
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def quiet(self) -> None:
        """Wait for half a second, and for as much more as there is sound in it."""
        start = len(self.voiced)
        await self.until(lambda: len(self.voiced) >= start + 25 and not any(self.voiced[-25:]))


async def one_call(bench: Bench, caller: Caller) -> Conversation:
    """A caller who interrupts after a second of the greeting, and hears the reply."""
    await caller.connect("127.0.0.1", bench.app.audiosocket_port)
    await caller.voice(0.0)
    conversation = bench.app.calls.find(caller.id)
    assert conversation is not None
    frames = Frames(conversation.call)
    await frames.until(lambda: sum(frames.voiced) >= 50)
    path = f"/v1/calls/{caller.id}/events"

    status, paused = await bench.post(path, STARTED)
    assert (status, paused["interrupted"]) == (202, True)
    start = sum(frames.voiced)
    await frames.quiet()
    assert sum(frames.voiced) - start <= 1, "the fade"
    _, cut = await bench.post(path, COMPLETED)
    assert cut["audio_end_ms"] == paused["audio_end_ms"], "nothing more was played meanwhile"
    await frames.until(lambda: frames.voiced[-1])
    await frames.quiet()
    caller.hang_up()
    await caller.ended.wait()

    heard = "".join("#" if voiced else " " for voiced in caller.received.voiced).split()
    assert len(heard) == 2, "the greeting up to the signal, and the reply: nothing stale between or after"
    assert len(heard[0]) - cut["audio_end_ms"] // 20 in (0, 1), "what is told to be heard, and the fade"
    assert len(heard[1]) == len(REPLY) * FRAMES_PER_LETTER
    return conversation


def respond(messages: list[dict[str, Any]]) -> Answer:
    return Answer(REPLY)


async def test_a_hundred_callers_interrupt() -> None:
    async with (
        LlmServer(respond=respond) as model,
        whole_app(greeting=LONG, llm_base_url=model.url, llm_model="m", filler="", max_calls=CALLS) as bench,
    ):
        calls = await asyncio.gather(*(one_call(bench, Caller()) for _ in range(CALLS)))
    silence_ms = [ms for conversation in calls for ms in conversation.describe()["interrupt_to_silence_ms"]]
    assert len(silence_ms) == CALLS
    p50, p99 = np.percentile(silence_ms, [50, 99])
    print(f"\nsignal to last voiced frame, {CALLS} calls at once: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
