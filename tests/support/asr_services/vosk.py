"""vosk-server."""

from __future__ import annotations

import json

from tests.support.asr_services.service import AsrService, Connection, Hearing


class VoskService(AsrService):
    """vosk-server: an answer to every message; ends utterances itself; closes on its eof, compared as text."""

    name, path = "vosk", "/"
    end_ms = 500

    async def text(self, connection: Connection, hearing: Hearing, text: str) -> bool:
        if text == '{"eof" : 1}':
            await connection.tell({"result": [], "text": hearing.final()})
            return True
        assert "config" in text
        assert json.loads(text)["config"]["sample_rate"] == self.rate_hz
        return False

    async def audio(self, connection: Connection, hearing: Hearing, pcm: bytes) -> None:
        _, ended = hearing.push(pcm)
        if ended:
            await connection.tell({"result": [], "text": hearing.final().lower().rstrip(".?")})
        else:
            await connection.tell({"partial": hearing.words.lower().rstrip(".?")})
