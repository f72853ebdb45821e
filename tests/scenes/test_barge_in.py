"""Barge-in on a real Asterisk, in every state a conversation can be in, and a cough that is none."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web

from bridge.brains.messages import UNHEARD
from engine.speech import Pcm
from tests.scenes.scene import Caller, call_state, calling
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.talkspurt import running
from tests.support.llm_server import Answer, LlmServer, ToolCall
from tests.support.recognition import recognise, word_error_rate
from tests.support.recognition_service import RecognitionService

GREETING = "Good morning, this is the museum, and you may interrupt me whenever you like."
LONG = "The garden is open from nine to five. The tower is open from ten to four. The shop is closed."
SHORT = "Yes, of course."
STARTED = {"type": "input_audio_buffer.speech_started"}
STOPPED = {"type": "input_audio_buffer.speech_stopped"}
ON_ITS_WAY = 3
"""Packets: the one being sent, the fade, and one between the two ends of the WebSocket."""


def respond(messages: list[dict[str, Any]]) -> Answer:
    if messages[-1]["role"] == "tool":
        return Answer("The tool has answered at last.")
    match messages[-1]["content"].split()[-1]:
        case "slow":
            return Answer("This answer comes too late to be heard.", first_token_s=1.0)
        case "tool":
            return Answer("Let me look. ", [ToolCall("look")])
        case "last":
            return Answer(SHORT)
        case _:
            return Answer(LONG)


async def silenced(caller: Caller) -> None:
    """After a signal: silence, and nothing stale after it."""
    voiced = await caller.packets(50)
    assert not any(voiced[ON_ITS_WAY:]), voiced


async def test_in_every_state(asterisk: Asterisk, tmp_path: Path) -> None:
    looking = asyncio.Event()

    async def look(request: web.Request) -> web.Response:
        looking.set()
        await asyncio.Event().wait()
        return web.Response()

    async with LlmServer(respond=respond) as model, tool_server(look) as tool:
        (tmp_path / "tools.yaml").write_text(
            f"tools: [{{name: look, description: Look it up., url: '{tool}', on_interrupt: cancel}}]\n"
        )
        settings = {"LLM_BASE_URL": model.url, "LLM_MODEL": "m", "LLM_TOOLS": "tools.yaml", "GREETING": GREETING,
                    "FILLER_AFTER_MS": "0"}  # fmt: skip
        with running(tmp_path, **settings) as server:
            async with calling(asterisk, server) as caller:
                # in the greeting
                await caller.phone.until_voice(10.0)
                await caller.packets(40)
                await caller.words("this is slow")
                await silenced(caller)

                # while thinking: what it was thinking of is never heard
                await caller.words("this is the first sentence")
                await caller.until("response.started")

                # in the first sentence
                await caller.packets(30)
                await caller.words("another")
                await silenced_until_next(caller)

                # between two sentences
                await caller.until("response.started")
                await pause_after_a_sentence(caller)
                await caller.words("the last")
                await silenced_until_next(caller)

                # on the last word
                await caller.until("response.started")
                await caller.packets(8)
                await caller.words("use the tool")
                await caller.until("response.started")

                # while a tool is at work
                await looking.wait()
                await caller.words("no, another")
                await caller.until("response.started")

                # twice in a row
                await caller.words("and another")
                await caller.until("response.started")
                await caller.packets(30)
                await caller.signal(STARTED)
                await silenced(caller)
            state = await call_state(server, caller.id)
        asked = model.requests[-1]["messages"]

    transcript = [entry for entry in state["conversation"]["transcript"] if entry["who"] == "agent"]
    told = [(entry["text"], entry["interrupted"]) for entry in transcript]
    assert all(interrupted for text, interrupted in told if text != SHORT), told
    assert all(GREETING.startswith(e["text"]) or LONG.startswith(e["text"]) for e in transcript[:3])
    assert not any("too late" in entry["text"] or "at last" in entry["text"] for entry in transcript)
    sentences = re.split(r"(?<=\.) ", LONG)
    assert transcript[2]["text"] in (sentences[0], " ".join(sentences[:2])), "cut between two sentences"
    contents = [message["content"] for message in asked if message["role"] == "assistant"]
    heard = [content for content in contents if content and content != UNHEARD]
    assert heard == [entry["text"] for entry in transcript][: len(heard)], "the model is told what was heard"
    assert len(heard) >= 3, "of the short answers after them nothing may have been heard"
    assert not any("tool_calls" in message for message in asked), "a tool call that was cut is not told"


async def silenced_until_next(caller: Caller) -> None:
    """The old answer ends within a few packets; the next begins with silence between them."""
    first = len(caller.phone.packets)
    await caller.phone.until_quiet(0.04, 10.0, after=first)


async def pause_after_a_sentence(caller: Caller) -> None:
    start = await caller.phone.until_voice(10.0, after=len(caller.phone.packets))
    await caller.phone.until_quiet(0.1, 15.0, after=start)


async def test_a_cough_costs_nothing_and_words_cost_the_rest(
    asterisk: Asterisk, recogniser: RecognitionService, tmp_path: Path
) -> None:
    """With a real recogniser on the line: noise is not heard as speech, and a false signal resumes to the sample."""
    async with LlmServer(respond=respond) as model:
        settings = {"ASR_URL": recogniser.url, "LLM_BASE_URL": model.url, "LLM_MODEL": "m", "GREETING": LONG,
                    "FALSE_INTERRUPTION_TIMEOUT_MS": "400"}  # fmt: skip
        with running(tmp_path, **settings) as server:
            async with calling(asterisk, server) as caller:
                await caller.until("response.started")
                first = len(caller.phone.packets)
                await caller.packets(40)
                await caller.phone.play(cough())
                await caller.signal(STARTED, STOPPED)  # a recogniser that took it for speech
                await caller.until("response.resumed")
                await caller.until("response.done")
                heard = caller.phone.heard(caller.phone.packets[max(first - 50, 0) :]).pcm

                await caller.words("tell me more")
                await caller.until("response.started")
                await caller.packets(20)
                await caller.say("Stop it, please.")
                cut = await caller.until("response.interrupted")
                assert len(cut["text"].split()) < len(LONG.split()) / 2
                said = [event["text"] for event in caller.events if event["type"] == "transcript.user"]
                if said == ["tell me more"]:  # words interrupted before the whole of them was known
                    said.append((await caller.until("transcript.user"))["text"])
                assert said[-1].lower().startswith("stop")
        assert word_error_rate([LONG], [await recognise(heard, 8_000)]) <= 0.1


def cough() -> Pcm:
    """A burst of noise, a third of a second long."""
    random = np.random.default_rng(7)
    envelope = np.exp(-np.arange(2_700) / 700)
    return np.round(random.standard_normal(2_700) * 6_000 * envelope).clip(-30_000, 30_000).astype(np.int16)


@asynccontextmanager
async def tool_server(handler: Any) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/", handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()
