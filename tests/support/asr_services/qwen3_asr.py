"""The Qwen3-ASR server."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.support.asr_services.service import AsrService, Connection, Hearing


class Qwen3AsrService(AsrService):
    """`/ws/transcribe`: a window that is recognised anew every 450 ms of audio; final upon `flush`."""

    name, path = "qwen3-asr", "/ws/transcribe"
    window_bytes = 14_400

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__(texts)
        self._new_bytes = 0

    async def opened(self, connection: Connection) -> None:
        told = {"status": "connected", "sample_rate": 16_000, "format": "pcm_s16le", "buffer_size": self.window_bytes}
        await connection.tell(told)

    async def text(self, connection: Connection, hearing: Hearing, text: str) -> bool:
        match json.loads(text):
            case {"action": "config", "language": str(language)}:
                await connection.tell({"status": "configured", "language": language})
            case {"action": "flush"}:
                await _qwen3(connection, hearing.final(), final=True)
            case command:
                raise AssertionError(f"unknown action: {command}")
        return False

    async def audio(self, connection: Connection, hearing: Hearing, pcm: bytes) -> None:
        _, ended = hearing.push(pcm)
        self._new_bytes += len(pcm)
        if ended:
            await _qwen3(connection, hearing.final(), final=True)
        elif self._new_bytes >= self.window_bytes:
            self._new_bytes = 0
            if hearing.words:
                await _qwen3(connection, hearing.words, final=False)


class Qwen3AsrOwnDetector(Qwen3AsrService):
    """Its newer releases: they end an utterance themselves as well."""

    end_ms = 400


async def _qwen3(connection: Connection, text: str, *, final: bool) -> None:
    await connection.tell({"text": text, "is_partial": not final, "is_final": final})
