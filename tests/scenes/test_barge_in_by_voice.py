"""Barge-in by the caller's voice in every state, with the embedded detector and recogniser, read off the recording."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.scenes.scene import Caller, calling, read_stereo, stretches_ms
from tests.scenes.test_barge_in import tool_server
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.talkspurt import running
from tests.support.llm_server import Answer, LlmServer, ToolCall

GREETING = "This is the museum and you may interrupt me whenever you like and whatever it is that I am saying."
LONG = "We open at nine in the morning. The garden closes at eight in the evening. The tower is closed today."
SHORT = "Yes, of course."
TOO_LATE = "This answer comes too late to be heard."
DOG, RESTAURANT, SUNDAY = "Can I bring my dog?", "Is there a restaurant?", "What time do you open on Sunday?"
TICKET, THANKS = "How much is a ticket for an adult?", "Thank you, that is all."
STATES = {
    "greeting": True, "thinking": False, "first sentence": True, "between sentences": False, "tool at work": False,
    "last word": False, "again at once": True,
}  # fmt: skip
"""And whether the agent is surely talking when the caller begins."""
SILENT_AFTER_MS = 500
"""From the caller's first sound to the agent's last: words could not have told so soon."""


def respond(messages: list[dict[str, Any]]) -> Answer:
    last = messages[-1]
    if last["role"] == "tool":
        return Answer(TOO_LATE)
    said = last["content"].lower()
    if "ticket" in said or "adult" in said:
        return Answer("Let me look. ", [ToolCall("look")])
    if "thank" in said:
        return Answer(SHORT)
    if "restaurant" in said or "sunday" in said:
        return Answer(LONG)
    return Answer(TOO_LATE, first_token_s=30.0)


async def test_in_every_state(asterisk: Asterisk, tmp_path: Path, record_property: Any) -> None:
    looking = asyncio.Event()

    async def look(request: web.Request) -> web.Response:
        looking.set()
        await asyncio.Event().wait()
        return web.Response()

    async with LlmServer(respond=respond) as model, tool_server(look) as tool:
        (tmp_path / "tools.yaml").write_text(
            f"tools: [{{name: look, description: Look it up., url: '{tool}', on_interrupt: cancel}}]\n"
        )
        settings = {
            "ASR_PROTOCOL": "embedded", "LLM_BASE_URL": model.url, "LLM_MODEL": "m", "LLM_TOOLS": "tools.yaml",
            "LLM_TIMEOUT_MS": "60000", "GREETING": GREETING, "FILLER_AFTER_MS": "0", "RECORD_DIR": str(tmp_path),
            "FALSE_INTERRUPTION_TIMEOUT_MS": "9000", "ASR_MODEL": "whisper", "END_OF_TURN": "silence",
            "EARLY_ANSWER_MS": "0",
        }  # fmt: skip
        with running(tmp_path, **settings) as server:
            async with calling(asterisk, server) as caller:
                await caller.until("response.started")
                await until_talking(caller)
                await caller.say(DOG)  # in the greeting
                await asked(model, "dog")
                await caller.say(RESTAURANT)  # while it thinks
                await caller.until("response.started")
                await until_talking(caller)
                await caller.say(SUNDAY)  # in the first sentence
                await caller.until("response.started")
                await pause_after_a_sentence(caller)
                await caller.say(TICKET)  # between two sentences
                await caller.until("response.started")
                await asyncio.wait_for(looking.wait(), 30)
                await caller.say(THANKS)  # while a tool is at work
                await caller.until("response.started")
                await caller.packets(20)
                await caller.say(RESTAURANT)  # on the last word
                await caller.until("response.started")
                await until_talking(caller)
                await caller.say(SUNDAY)  # and again, as soon as it has begun
                await caller.until("response.interrupted")
                await caller.packets(20)
            await server.logged("call ended", 10.0)

    transcript = json.loads((tmp_path / f"{caller.id}.json").read_text())["transcript"]
    told = [(entry["text"], entry["interrupted"]) for entry in transcript if entry["who"] == "agent"]
    assert all(interrupted for text, interrupted in told if text != SHORT), told
    wholes = (GREETING, LONG, SHORT, "Let me look.")
    assert all(any(whole.startswith(text) for whole in wholes) for text, _ in told), told

    caller_pcm, agent_pcm, rate_hz = read_stereo(tmp_path / f"{caller.id}.wav")
    spoken = stretches_ms(caller_pcm, rate_hz, gap_ms=400)  # less than the detector takes for an end
    assert len(spoken) == len(STATES)
    agent = stretches_ms(agent_pcm, rate_hz, gap_ms=60)
    for (state, talks), (start, end) in zip(STATES.items(), spoken, strict=True):
        over = [min(stop, end) for begin, stop in agent if begin < end and stop > start]
        silent_after = max(over, default=start) - start
        record_property(state, silent_after)
        print(f"{state:18} onset to silence {silent_after:4} ms")
        assert silent_after <= SILENT_AFTER_MS, "silent at the sound, and nothing stale while the caller speaks"
        assert silent_after > 0 or not talks


async def until_talking(caller: Caller) -> None:
    """Until the agent has been heard for the better part of a second."""
    await caller.phone.until_voice(30.0, after=len(caller.phone.packets))
    await caller.packets(35)


async def pause_after_a_sentence(caller: Caller) -> None:
    start = await caller.phone.until_voice(10.0, after=len(caller.phone.packets))
    await caller.packets(50)
    await caller.phone.until_quiet(0.1, 15.0, after=start + 50)


async def asked(model: LlmServer, word: str) -> None:
    """Until the model thinks about what was said."""
    async with asyncio.timeout(30):
        while not model.requests or word not in model.requests[-1]["messages"][-1]["content"].lower():
            model.asked.clear()
            await model.asked.wait()
