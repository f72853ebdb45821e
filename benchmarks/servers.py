"""The servers that are compared, as processes of their own: ours, and the peer in a folder of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from bridge.converse.server_process import ServerProcess, bare_environment
from bridge.dial.wav import write_wav

PEER = "asterisk-ai-voice-agent 0.1.6"
PEER_REQUIREMENTS = ("asterisk-ai-voice-agent==0.1.6", "websockets>=13.0")
"""The peer's packages, without dependencies: its transport imports nothing else."""
PEER_FOLDER = Path(".cache/asterisk-ai-voice-agent-0.1.6").absolute()
CLIP_RATE_HZ = 8_000
CLIP_S = 5
CLIP_TEXT = "This is the clip that every caller hears. " * 60
"""What ours is told to say: the clip for each sentence, for five minutes. The peer plays it by itself."""
CLIP_LEVEL = 3_000
START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens."""

    pid: int
    port: int
    http_url: str = ""


def write_clip(path: Path) -> None:
    """Makes the clip: noise at a steady level, so that every frame is voiced and no pause flatters an interrupt."""
    noise = np.random.default_rng(0).normal(0, CLIP_LEVEL, CLIP_S * CLIP_RATE_HZ)
    write_wav(path, noise.clip(-32768, 32767).astype(np.int16), CLIP_RATE_HZ)


def install_peer() -> str:
    """Puts the peer into a folder of its own, if it is not there. Returns why it cannot, or nothing."""
    if (PEER_FOLDER / "asterisk_ai_voice_agent").is_dir():
        return ""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*pip, "--target", str(PEER_FOLDER), *PEER_REQUIREMENTS], capture_output=True, text=True, check=False
    )
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


async def health(server: ServerProcess) -> dict[str, Any]:
    """Returns what a server of ours tells of itself."""
    async with aiohttp.ClientSession() as session, session.get(f"{server.http_url}/health") as response:
        told: dict[str, Any] = await response.json()
        return told


@asynccontextmanager
async def serving(name: str, clip: Path) -> AsyncIterator[Running]:
    """Run `ours` or `peer` with the clip, until the end of the block."""
    folders = [str(PEER_FOLDER)] if name == "peer" else []
    path = os.pathsep.join([*folders, *filter(None, [os.environ.get("PYTHONPATH")])])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"benchmarks.{name}_server", str(clip)),
        env=bare_environment() | {"PYTHONPATH": path},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)
        if not line:
            raise RuntimeError(f"benchmarks.{name}_server did not start")
        yield Running(process.pid, **json.loads(line))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
