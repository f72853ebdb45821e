"""A caller whose telephone is on its loudspeaker: the agent hears its own voice, and must not answer itself."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from engine.speech import Pcm
from tests.scenes.scene import Caller, calling
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.talkspurt import running
from tests.support.echo_path import EchoPath
from tests.support.llm_server import Answer, LlmServer
from tests.support.voices import caller_says

GREETING = "Good morning, this is the city museum. We are open until six o'clock today. How can I help you?"
ANSWER = "Yes, you can bring your dog, as long as it stays on a lead and does not bark at the paintings."
FRAME_SAMPLES = 160
ON_THE_WAY_MS = 40
"""What the telephone and Asterisk add to the echo's delay."""


@asynccontextmanager
async def on_loudspeaker(caller: Caller, path: EchoPath) -> AsyncIterator[deque[Pcm]]:
    """Sends back what the telephone plays, mixed with the frames that are put into the queue."""
    saying: deque[Pcm] = deque()
    silence = np.zeros(FRAME_SAMPLES, np.int16)

    def has_come(at: int) -> bool:
        return len(caller.phone.packets) > at

    async def send_back() -> None:
        at = len(caller.phone.packets)
        while True:
            await caller.phone.until(partial(has_come, at), 30.0)
            heard = caller.phone.packets[at].pcm
            at += 1
            await caller.phone.play(path.push(heard, saying.popleft() if saying else silence))

    task = asyncio.create_task(send_back())
    yield saying
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("level_db", [-20])
async def test_the_greeting_ends_and_the_caller_is_answered_once(
    asterisk: Asterisk, tmp_path: Path, level_db: int
) -> None:
    async with LlmServer(respond=lambda messages: Answer(ANSWER)) as model:
        settings = {
            "ASR_PROTOCOL": "embedded", "LLM_BASE_URL": model.url, "LLM_MODEL": "m", "GREETING": GREETING,
            "RECORD_DIR": str(tmp_path),
            # On a busy machine, too, the model is asked once the words are known, and nothing is said but the answer.
            "EARLY_ANSWER_MS": "0", "FILLER_AFTER_MS": "0", "NO_INPUT_TIMEOUT_MS": "0", "UNCLEAR_TIMEOUT_MS": "0",
        }  # fmt: skip
        with running(tmp_path, **settings) as server:
            async with (
                calling(asterisk, server) as caller,
                on_loudspeaker(caller, EchoPath(level_db, 150 - ON_THE_WAY_MS)) as saying,
            ):
                await caller.until("response.done")
                await caller.packets(40)
                said = caller_says("Can I bring my dog?")
                for start in range(0, len(said) - FRAME_SAMPLES, FRAME_SAMPLES):
                    saying.append(said[start : start + FRAME_SAMPLES])
                await caller.until("response.done")
                await caller.packets(150)  # in which its own words would come back to it
            await server.logged("call ended", 10.0)

    kinds = [event["type"] for event in caller.events]
    assert "response.interrupted" not in kinds
    assert len(model.requests) == 1
    transcript = json.loads((tmp_path / f"{caller.id}.json").read_text())["transcript"]
    assert [entry["text"] for entry in transcript if entry["who"] == "agent"] == [GREETING, ANSWER]
    (heard,) = [entry["text"] for entry in transcript if entry["who"] == "user"]
    assert "dog" in heard.lower()
