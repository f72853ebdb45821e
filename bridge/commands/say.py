"""`talkspurt say`: speaks a text into a sound file, with the engine and voice that callers would hear."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np

from bridge.config import WrongSetting, load_settings
from bridge.conversation.agents.lexicon_file import load_lexicon
from bridge.logs import warn_on_stderr
from engine.audio import resample
from engine.encode import FORMATS, FormatName, create_encoder, state_length
from engine.pipeline import speak
from engine.registry import create_engine
from engine.speech import Engine, Pcm, SpeechError, Style

# The format for each ending of a file's name. Asterisk calls the headerless files that it plays ulaw, alaw and sln.
SUFFIXES: Final[dict[str, FormatName]] = {
    ".wav": "wav",
    ".mp3": "mp3",
    ".opus": "opus",
    ".ogg": "ogg",
    ".aac": "aac",
    ".flac": "flac",
    ".pcm": "pcm",
    ".sln": "pcm",
    ".ulaw": "mulaw",
    ".alaw": "alaw",
}
SLN_RATE_HZ: Final = 8000


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `talkspurt say`."""
    parser = sub.add_parser("say", help="speak a text into a sound file")
    parser.add_argument("text", help="what to say; - reads it from standard input")
    parser.add_argument("-o", "--output", type=Path, required=True, help=f"ending in {' '.join(SUFFIXES)}")
    parser.add_argument("--rate", type=int, metavar="HZ", help="sample rate (default: the voice's own)")
    parser.add_argument("--voice", help="name of the voice (default: the setting VOICE)")
    parser.add_argument("--speed", type=float, default=1.0, help="0.25 to 4.0; 1.0 is the voice's own pace")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Writes the file. Returns 2 where an argument or setting is wrong and 1 where speaking fails; stderr says why."""
    warn_on_stderr()
    try:
        settings = load_settings()
    except WrongSetting as error:
        return _refuse(str(error))
    name = SUFFIXES.get(args.output.suffix.lower())
    if name is None:
        return _refuse(f"{args.output}: the name must end in {', '.join(SUFFIXES)}")
    form = FORMATS[name]
    if args.rate is not None and args.rate not in form.rates_hz:
        return _refuse(f"--rate {args.rate}: {name} can have {', '.join(map(str, form.rates_hz))}")
    if not 0.25 <= args.speed <= 4.0:
        return _refuse(f"--speed {args.speed}: must be 0.25 to 4.0")
    text = sys.stdin.read() if args.text == "-" else args.text
    engine = create_engine(settings.engine, settings.qwen, settings.voices, settings.speech.request_timeout)
    path = settings.conversation.lexicon
    style = Style(
        voice=args.voice if args.voice is not None else settings.conversation.voice,
        speed=args.speed,
        lexicon=load_lexicon(path) if path is not None else None,
    )
    asked_hz = args.rate or (SLN_RATE_HZ if args.output.suffix.lower() == ".sln" else None)
    rate_hz = form.rate_hz(engine.sample_rate_hz, asked_hz)
    started_s = time.perf_counter()
    try:
        pcm = asyncio.run(_speak(engine, text, style, normalize=settings.speech.text_normalize))
        made_s = time.perf_counter() - started_s
        if not pcm.size:
            return _fail("there is nothing to say")
        pcm = resample(pcm, engine.sample_rate_hz, rate_hz)
        encoder = create_encoder(form, rate_hz)
        data = encoder.encode(pcm) + encoder.finish()
        args.output.write_bytes(state_length(form, rate_hz, data, pcm.size))
    except (SpeechError, OSError) as error:
        return _fail(str(error))
    print(f"{args.output}: {pcm.size / rate_hz:.2f} s at {rate_hz} Hz, made in {made_s:.2f} s with {engine.name}")
    return 0


async def _speak(engine: Engine, text: str, style: Style, *, normalize: bool) -> Pcm:
    await engine.start()
    try:
        if not (status := engine.status()).ready:  # nobody wants a file in another voice
            raise SpeechError("; ".join(status.warnings) or "the engine cannot speak")
        chunks = [chunk.pcm async for chunk in speak(engine, text, style, normalize=normalize)]
    finally:
        await engine.close()
    return np.concatenate(chunks) if chunks else np.empty(0, np.int16)


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 2


def _fail(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 1
