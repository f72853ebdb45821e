"""An engine that asks another OpenAI-compatible speech server (ENGINE=remote)."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import aiohttp
import numpy as np

from engine.speech import Engine, EngineBusy, Pcm, SpeechError, Style, UnknownVoice, Voice
from engine.status import EngineStatus

MAX_REASON_BYTES: Final = 300
QUOTED_CHARS: Final = 8
"""A reason ends where so many of a sentence's first characters stand in it."""
MAX_LIST_BYTES: Final = 2**20
CHUNK_BYTES: Final = 9_600
"""200 ms at 24 kHz."""
CONNECT_TIMEOUT_S: Final = 2.0
READ_TIMEOUT_S: Final = 10.0
"""A server that sends no audio for this long is stuck, and a caller is listening to silence."""


class RemoteEngine(Engine):
    """Asks `POST {url}/audio/speech` for PCM, sentence by sentence, and streams it as it arrives.

    The server's `pcm` must be 16-bit little-endian mono at 24 kHz, as OpenAI's is.
    """

    name = "remote"
    sample_rate_hz = 24_000

    def __init__(self, url: str, model: str, api_key: str = "") -> None:
        self._url = url.rstrip("/")
        self._model = model
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._session: aiohttp.ClientSession | None = None
        self._voices: list[Voice] = []
        self._in_flight = 0

    async def start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        try:
            async with self._session.get(f"{self._url}/audio/voices") as response:
                data = await _beginning(response, MAX_LIST_BYTES)
                listed = json.loads(data)["voices"] if response.status == 200 else []
        except aiohttp.ClientError as error:
            await self.close()
            raise SpeechError(f"REMOTE_URL={self._url!r} does not answer: {error}") from None
        except (ValueError, KeyError, TypeError):
            listed = []  # a server that lists no voices can still speak
        self._voices = [Voice(str(v["id"]), str(v.get("name", v["id"])), ("*",)) for v in listed if isinstance(v, dict)]

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        if self._session is None:
            raise SpeechError("the engine is not started")
        body = {
            "model": self._model,
            "input": sentence,
            "voice": self.resolve_voice(style.voice),
            "response_format": "pcm",
            "speed": style.speed,
            "instructions": style.instructions,
            "language": style.language,
            "temperature": style.temperature,
            "top_p": style.top_p,
            "seed": style.seed,
        }
        self._in_flight += 1
        try:
            sent = {name: value for name, value in body.items() if value is not None}
            async with self._session.post(f"{self._url}/audio/speech", json=sent) as response:
                if response.status != 200:
                    reason = (await _beginning(response, MAX_REASON_BYTES)).decode(errors="replace")
                    raise self._refusal(response.status, _without(sentence, reason), style.voice)
                odd = b""
                async for data in response.content.iter_chunked(CHUNK_BYTES):
                    data = odd + data
                    whole = len(data) & ~1
                    odd = data[whole:]
                    if whole:
                        yield np.frombuffer(data[:whole], "<i2").astype(np.int16, copy=False)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SpeechError(f"{self._url} failed: {error or type(error).__name__}") from None
        finally:
            self._in_flight -= 1

    def voices(self) -> Sequence[Voice]:
        return self._voices or [Voice("alloy", "alloy", ("*",))]

    def resolve_voice(self, name: str) -> str:
        """Returns the listed id, or any other name as it is: the server knows its own aliases."""
        if not name:
            return self.voices()[0].id
        return next((voice.id for voice in self._voices if voice.id.lower() == name.lower()), name)

    def deterministic(self, style: Style) -> bool:
        return style.seed is not None or style.temperature == 0

    def status(self) -> EngineStatus:
        return EngineStatus(self.name, self._model, self._session is not None, self._in_flight)

    def _refusal(self, status: int, text: str, voice: str) -> SpeechError:
        if status in (429, 503):
            return EngineBusy(f"the speech server is busy ({status})")
        if status == 400 and "voice" in text.lower():
            return UnknownVoice(voice, [known.id for known in self.voices()])
        return SpeechError(f"the speech server answered {status}: {text}")


async def _beginning(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """Returns what a server answers, of which there may be no end, or as much of it as is of use."""
    data = b""
    async for piece in response.content.iter_chunked(CHUNK_BYTES):
        data += piece
        if len(data) >= most_bytes:
            break
    return data[:most_bytes]


def _without(sentence: str, reason: str) -> str:
    """Returns why a server refuses a sentence, up to where it quotes the sentence: the reason is logged."""
    for form in (sentence, json.dumps(sentence)[1:-1], json.dumps(sentence, ensure_ascii=False)[1:-1]):
        if (begun := form[:QUOTED_CHARS]) and begun in reason:
            reason = f"{reason.partition(begun)[0]}…"
    return reason
