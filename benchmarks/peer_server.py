"""The pacing of asterisk-ai-voice-agent 0.1.6 with audio already made: its AudioSocketTransport, its way of serving.

Run by `benchmarks.calls` with the package on PYTHONPATH. As in the package's own `agent.py`: `asyncio.start_server` on
the default event loop, one task that reads the caller's audio and one that plays it an utterance, frame by frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from asterisk_ai_voice_agent.audiosocket import FRAME_BYTES
from asterisk_ai_voice_agent.transport import AudioSocketTransport

from bridge.dial.wav import read_wav

RATE_HZ = 8_000


async def frames(pcm: bytes) -> AsyncIterator[bytes]:
    """One utterance that never ends: the clip over and over."""
    while True:
        for start in range(0, len(pcm), FRAME_BYTES):
            yield pcm[start : start + FRAME_BYTES]


async def serve(wav: Path) -> None:
    """Print where it listens, then serve until killed."""
    pcm = read_wav(wav, RATE_HZ).tobytes()

    async def on_call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport = AudioSocketTransport(reader, writer)
        ended = False
        if not await transport.handshake():
            return
        player = asyncio.create_task(transport.play(frames(pcm), lambda: ended))
        while await transport.read_audio() is not None:
            pass
        ended = True
        with contextlib.suppress(ConnectionError):
            await player
        await transport.close()

    server = await asyncio.start_server(on_call, "127.0.0.1", 0, backlog=1024)
    gc.collect()
    gc.freeze()
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
