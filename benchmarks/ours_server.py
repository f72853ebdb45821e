"""All of `talkspurt serve`, but with an engine whose audio is already made: one clip for every sentence."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from bridge.app import App
from bridge.config import Settings
from bridge.dial.wav import read_wav
from bridge.logs import set_up_logs
from engine.speech import Engine, Pcm, Style, Voice
from engine.status import EngineStatus

RATE_HZ = 8_000
CHUNK_SAMPLES = RATE_HZ // 5
MAX_CALLS = 2_000


class ClipEngine(Engine):
    """An engine that has the clip at hand."""

    name = "clip"
    sample_rate_hz = RATE_HZ

    def __init__(self, pcm: Pcm) -> None:
        self._chunks = [pcm[start : start + CHUNK_SAMPLES] for start in range(0, pcm.size, CHUNK_SAMPLES)]

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        for chunk in self._chunks:
            yield chunk

    def voices(self) -> Sequence[Voice]:
        return [Voice("clip", "Clip", ("*",))]

    def resolve_voice(self, name: str) -> str:
        return "clip"

    def deterministic(self, style: Style) -> bool:
        return True

    def status(self) -> EngineStatus:
        return EngineStatus("clip", "clip", model_loaded=True, queue_depth=0)


async def serve(wav: Path) -> None:
    """Print where it listens, then serve until killed."""
    settings = Settings.of(audiosocket_port=0, http_port=0, max_calls=MAX_CALLS)
    app = App(settings, ClipEngine(read_wav(wav, RATE_HZ)))
    await app.start()
    print(json.dumps({"port": app.audiosocket_port, "http_url": f"http://127.0.0.1:{app.http_port}"}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    set_up_logs("text", "warning")
    asyncio.run(serve(Path(sys.argv[1])))
