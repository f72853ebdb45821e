"""The bridge's AudioSocket server with audio already made: every call hears one clip over and over."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import uvloop
from aiohttp import web

from bridge.call import Call, Wire
from bridge.calls import Calls
from bridge.control import add_call_routes
from bridge.playout import Utterance
from bridge.server import AudioSocketServer
from bridge.wav import read_wav
from engine.speech import Engine, Pcm, Style, Voice

RATE_HZ = 8_000
MAX_CALLS = 2_000
RESTART_S = 0.25
"""Silence after an interrupt, so that it can be seen to last."""


class NoEngine(Engine):
    """No speech is made here."""

    name = "none"
    sample_rate_hz = RATE_HZ

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        raise NotImplementedError

    def voices(self) -> Sequence[Voice]:
        return ()

    def resolve_voice(self, name: str) -> str:
        return name

    def deterministic(self, style: Style) -> bool:
        return True

    def status(self) -> Mapping[str, Any]:
        return {}


def play(call: Call, pcm: bytes) -> None:
    """Queue the clip in a call, whenever it has been played, and a while after it was interrupted."""
    loop = asyncio.get_running_loop()

    def again(done: Utterance | None = None) -> None:
        if done is not None and done.interrupted:
            loop.call_later(RESTART_S, again)
            return
        utterance = call.playout.begin()
        utterance.open(RATE_HZ)
        utterance.write(pcm)
        utterance.end()

    call.done_listeners.append(again)
    again()


async def serve(wav: Path) -> None:
    """Print where it listens, then serve until killed."""
    pcm = read_wav(wav, RATE_HZ).tobytes()
    engine = NoEngine()

    def create(call_id: UUID, wire: Wire) -> Call:
        call = Call(call_id, wire, engine, Style())
        play(call, pcm)
        return call

    calls = Calls(create, MAX_CALLS)
    app = web.Application()
    add_call_routes(app, calls)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = AudioSocketServer(calls)
    port = await server.start("127.0.0.1", 0)
    gc.collect()
    gc.freeze()  # as bridge.app does
    print(json.dumps({"port": port, "http_url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
