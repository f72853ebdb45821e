"""The speech endpoints on the embedded voice, as `serve` has them, with the pipeline's look-ahead to be chosen."""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
from pathlib import Path

import structlog
import uvloop
from aiohttp import web

import engine.pipeline
from engine.api import add_speech_routes
from engine.hibari import HibariEngine
from engine.settings import SpeechSettings, VoiceSettings
from engine.web.server import create_runner


async def serve(ahead: int) -> None:
    """Print the URL once it can be asked, then serve until killed."""
    speech = HibariEngine()
    await speech.start()
    engine.pipeline.SENTENCES_AHEAD = ahead
    app = web.Application()
    with tempfile.TemporaryDirectory() as folder:
        add_speech_routes(app, speech, SpeechSettings(), VoiceSettings(voices_dir=Path(folder)))
        runner = create_runner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--ahead", type=int, required=True)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    uvloop.run(serve(parser.parse_args().ahead))
