"""The WebSocket that speaks: a message is refused by one error, and a request answered by one `done` or error."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from aiohttp import WSMessage, WSMsgType, web
from prometheus_client import CollectorRegistry

from fuzz.harness import fuzz, instrumented
from fuzz.loop import run
from fuzz.pieces import chosen

with instrumented(__name__, "engine.api", "engine.growing_text", "engine.markup", "engine.text"):
    from engine.api.service import SPEECH, SpeechService
    from engine.api.socket import _Connection
    from engine.settings import SpeechSettings, VoiceSettings
    from engine.speech import Pcm, Style
    from tests.support.fakes import FakeEngine

MAX_INPUT_CHARS: Final = 200
ANSWERED_S: Final = 20.0
"""The time for all that an input asks for, on a busy machine."""
_TOLD: Final[tuple[dict[str, Any], ...]] = (
    {"input": "Hello there. And again.", "voice": "one", "sample_rate": 8000, "timestamps": True},
    {"input_delta": "Hel"},
    {"input_delta": "lo. "},
    {"event": "flush"},
    {"event": "cancel"},
    {"input": "Hello.", "ref_audio": "AA==", "language": "de", "seed": 1},
)
SEEDS: Final = tuple(
    bytes([how]) + b"\n".join(json.dumps(message).encode() for message in _TOLD[at:]) for how in (0, 1) for at in (0, 1)
)


class _Engine(FakeEngine):
    """Speaks each sentence in a hundredth of a second."""

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        yield np.full(240, 8_000, np.int16)


class _Socket:
    """Keeps what it is sent."""

    closed = False

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()

    async def send_json(self, answer: dict[str, Any]) -> None:
        json.dumps(answer).encode()
        assert answer.get("code") != "INTERNAL_ERROR", answer
        self.answers[answer["event"]] += 1

    async def send_bytes(self, data: bytes) -> None:
        assert data


class _Request(dict[str, Any]):
    """As much of a request as a connection needs."""

    remote, transport, headers = "", None, dict[str, str]()

    def __init__(self, service: SpeechService) -> None:
        super().__init__()
        self.app = {SPEECH: service}


async def _converse(how: int, messages: list[str]) -> None:
    socket = _Socket()
    connection = _Connection(cast(web.Request, _Request(_SERVICE)), cast(web.WebSocketResponse, socket))
    speaker = asyncio.create_task(connection.speak())
    owed = 0
    for message in [*messages, '{"event": "flush"}']:
        errors, turns = socket.answers["error"], len(connection._turns)
        await connection.receive(WSMessage(WSMsgType.TEXT, message, None))
        refused, asked = socket.answers["error"] - errors, len(connection._turns) - turns
        assert refused <= 1
        owed += refused + asked
        if how & 1:
            await asyncio.sleep(0)
    async with asyncio.timeout(ANSWERED_S):
        while not connection.idle:
            assert not speaker.done(), "the speaker goes on, whatever it is asked for"
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert socket.answers["done"] + socket.answers["error"] == owed
    speaker.cancel()
    await asyncio.gather(speaker, return_exceptions=True)


async def _service() -> SpeechService:
    settings = SpeechSettings(max_input_chars=MAX_INPUT_CHARS, audio_cache_max=0, text_normalize=False)
    return SpeechService(_Engine(), settings, VoiceSettings(voices_dir=Path("/nonexistent")), CollectorRegistry())


_SERVICE: Final = run(_service())


def check(data: bytes) -> None:
    how, stream = chosen(data)
    run(_converse(how, stream.decode(errors="replace").split("\n")))


if __name__ == "__main__":
    fuzz(check, SEEDS, is_json=True)
