"""Five turns through a real Asterisk, recogniser and chat API: latencies off the recording, beside our own trace."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from statistics import median
from typing import Any

from tests.scenes.scene import calling, read_stereo, stretches_ms
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.talkspurt import running
from tests.support.llm_server import Answer, LlmServer
from tests.support.recognition import recognise, word_error_rate
from tests.support.recognition_service import RecognitionService

GREETING = "Good morning, this is the museum. How can I help you?"
TURNS = [
    ("What time do you open on Sunday?", "We open at nine o'clock on Sunday. Would you like to book a ticket?"),
    ("How much is a ticket for an adult?", "A ticket for an adult costs twelve dollars. Children are free."),
    ("Can I bring my dog?", "I am sorry, dogs have to wait outside. There is a garden behind the house."),
    ("Is there a restaurant?", "Yes, the restaurant is on the second floor. It closes at five."),
    ("Thank you, that is all.", "You are welcome. Have a pleasant day."),
]
TOKEN_S = 0.03
"""The model's pace: about 33 tokens a second."""
PATIENT = {"FILLER_AFTER_MS": "0", "NO_INPUT_TIMEOUT_MS": "0", "UNCLEAR_TIMEOUT_MS": "0"}
"""However long the recogniser takes on a busy machine, the agent says nothing but its answers."""
LATE_S = 1.0
"""How late a packet may come, and is heard all the same: the phone of a busy machine is no part of this test."""


def respond(messages: list[dict[str, Any]]) -> Answer:
    turn = sum(message["role"] == "assistant" for message in messages) - 1  # the first is the greeting
    return Answer(TURNS[min(turn, len(TURNS) - 1)][1], first_token_s=0.1, token_s=TOKEN_S)


async def test_five_turns(asterisk: Asterisk, tmp_path: Path, record_property: Any) -> None:
    # Moonshine first: on a busy machine Whisper's words come after the 3 s for which a service is waited for.
    async with LlmServer(respond=respond) as model, RecognitionService("auto") as recogniser:
        settings = {
            "ASR_URL": recogniser.url,
            "LLM_BASE_URL": model.url,
            "LLM_MODEL": "m",
            "GREETING": GREETING,
            "RECORD_DIR": str(tmp_path),
            **PATIENT,
        }
        with running(tmp_path, **settings) as server:
            async with calling(asterisk, server) as caller:
                await caller.until("response.done")
                for said, _ in TURNS:
                    await asyncio.sleep(0.3)  # as people do
                    await caller.say(said)
                    await caller.until("response.done")
            await server.logged("call ended", 10.0)
        requests = model.requests

    transcript = json.loads((tmp_path / f"{caller.id}.json").read_text())["transcript"]
    agent_said = [entry["text"] for entry in transcript if entry["who"] == "agent"]
    assert agent_said == [GREETING, *(answer for _, answer in TURNS)]
    caller_said = [entry["text"] for entry in transcript if entry["who"] == "user"]
    assert word_error_rate([said for said, _ in TURNS], caller_said) <= 0.2, caller_said

    caller_pcm, agent_pcm, rate_hz = read_stereo(tmp_path / f"{caller.id}.wav")
    assert word_error_rate([" ".join(agent_said)], [await recognise(agent_pcm, rate_hz)]) <= 0.05
    heard_at_the_phone = caller.phone.heard(buffer_s=LATE_S, depth_s=2 * LATE_S).pcm
    assert word_error_rate([" ".join(agent_said)], [await recognise(heard_at_the_phone, 8_000)]) <= 0.05

    last = requests[-1]["messages"]
    assert [message["content"] for message in last if message["role"] == "assistant"] == agent_said[:-1]

    # The caller's last sound to the agent's first, off the recording, and by our own account.
    ends = [end for _, end in stretches_ms(caller_pcm, rate_hz, gap_ms=1_000)]
    agent = stretches_ms(agent_pcm, rate_hz, gap_ms=400)
    gaps = [min(start for start, _ in agent if start > end) - end for end in ends]
    traces = [entry["trace"] for entry in transcript if entry["who"] == "agent"][1:]
    assert len(gaps) == len(TURNS)
    print("\nturn  recording  our trace  transcript  first token  sentence  audio  frame   (ms after the last sound)")
    for turn, (gap, trace) in enumerate(zip(gaps, traces, strict=True), 1):
        stages = (trace[f"{name}_ms"] for name in ("transcript", "first_token", "first_sentence", "first_audio"))
        print(f"{turn:4} {gap:10} {trace['first_frame_ms']:10}", *(f"{stage:11}" for stage in stages))
        record_property(f"turn {turn}", gap)
    off_ms = [abs(gap - trace["first_frame_ms"]) for gap, trace in zip(gaps, traces, strict=True)]
    # In a single turn the phone of a busy machine may send the caller's last words when they have been answered.
    assert median(off_ms) <= 250, f"the trace tells what the caller experiences: {off_ms}"
