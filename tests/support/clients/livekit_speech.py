"""Speaks a text as an agent of LiveKit does, and writes the sound into a file. Runs in an environment of its own."""

import asyncio
import sys
from pathlib import Path

from livekit.plugins import openai


async def speak(base_url: str, model: str, text: str) -> bytes:
    speech = openai.TTS(base_url=base_url, api_key="secret", model=model, voice="ash")
    frame = await speech.synthesize(text).collect()
    await speech.aclose()
    return frame.to_wav_bytes()


Path(sys.argv[4]).write_bytes(asyncio.run(speak(*sys.argv[1:4])))
