"""What a recogniser says that was told to: words that are slow to compare, in a call of the attacker's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

from benchmarks.attacks.target import Answers, Target
from benchmarks.attacks.wire import ask_json
from bridge.dial.caller import Caller

ANSWER: Final = "This is a long answer that goes on while the caller makes a noise. " * 20
MOST_CHARS: Final = 10_000
PAUSE_S: Final = 0.1
_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"


async def back_channels(target: Target, answers: Answers) -> None:
    """A listener's noises, many times without a pause, while the agent speaks."""
    await _hear(target, answers, ["mm hm " * 19, "mm hm " * 19 + "no", "嗯" * 31, "嗯" * 31 + "不"])


async def long_transcripts(target: Target, answers: Answers) -> None:
    """As many characters as one event may have, of words that recur."""
    texts = (
        "mm hm " * MOST_CHARS,
        "嗯" * MOST_CHARS,
        "a " * MOST_CHARS,
        "' " * MOST_CHARS,
        "one two three " * MOST_CHARS,
    )
    await _hear(target, answers, [text[:MOST_CHARS].strip() for text in texts])


async def _hear(target: Target, answers: Answers, texts: list[str]) -> None:
    async with call(target) as caller:
        path = f"/v1/calls/{caller.id}"
        for number in range(10_000):
            text = texts[number % len(texts)]
            await ask_json(target, answers, f"{path}/say", {"text": ANSWER})
            await asyncio.sleep(PAUSE_S)
            for event in utterance(text, f"item_{number}"):
                await ask_json(target, answers, f"{path}/events", event)
            await ask_json(target, answers, f"{path}/interrupt", {})


def utterance(text: str, item: str) -> Iterator[dict[str, Any]]:
    """What a recogniser tells of something said."""
    yield {"type": "input_audio_buffer.speech_started", "item_id": item}
    yield {"type": f"{_TRANSCRIPTION}.delta", "item_id": item, "delta": text}
    yield {"type": "input_audio_buffer.speech_stopped", "item_id": item}
    yield {"type": f"{_TRANSCRIPTION}.completed", "item_id": item, "transcript": text}


@asynccontextmanager
async def call(target: Target) -> AsyncIterator[Caller]:
    """A call of the attacker's own, which is answered."""
    caller = Caller()
    await caller.connect(target.host, target.port)
    try:
        await caller.voice(0.0)
        yield caller
    finally:
        caller.hang_up()
