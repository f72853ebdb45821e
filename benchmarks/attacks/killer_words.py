"""Texts over HTTP that take the embedded voice much longer than their length says, while calls wait for it."""

from __future__ import annotations

import asyncio

from benchmarks.attacks.target import Answers, Target
from benchmarks.attacks.wire import ask_json

WORDS = ("a-" * 214, "9," * 45)


async def killer_words(target: Target, answers: Answers) -> None:
    """Words without an end, each of two over and over."""
    await asyncio.gather(*(_say(target, answers, word) for word in WORDS))


async def slow_speech(target: Target, answers: Answers) -> None:
    """The longest text at the slowest speed."""
    for number in range(1_000):
        text = f"{number} " + "word " * 818
        body = {"input": text, "speed": 0.25, "response_format": "wav"}
        await ask_json(target, answers, "/v1/audio/speech", body, whole=True)


async def _say(target: Target, answers: Answers, word: str) -> None:
    for number in range(1_000):
        body = {"input": f"{word} {number}", "response_format": "wav"}
        await ask_json(target, answers, "/v1/audio/speech", body, whole=True)
