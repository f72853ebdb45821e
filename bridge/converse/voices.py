"""Makes the sounds of a scenario's caller: speech in many voices, and what is behind it."""

from __future__ import annotations

import asyncio
import importlib.util
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import numpy as np

from bridge.converse.line_conditions import (
    NOISE_S,
    SPEECH_DBFS,
    LineConditions,
    Samples,
    at_level,
    babble,
    cough,
    music,
    samples,
    tone,
    white,
)
from bridge.converse.scenario import PICO, SECOND, Line
from engine.audio import resample
from engine.extras import install
from engine.hibari import HibariEngine
from engine.pipeline import speak
from engine.speech import Engine, Pcm, SpeechError, Style

RATE_HZ: Final = 8_000
CALLER_SPEED: Final = 1.2
CALLER_PITCH: Final = 0.82
"""The second voice is the agent's, but lower: it is spoken faster (`CALLER_SPEED`), then played slower by this."""
PICO_RATE_HZ: Final = 16_000
BABBLE: Final = {
    "ryan": "We went to the market in the morning, and it was so full that we came home again.",
    "nova": "She told me that the train was late, and that nobody knew when it would come.",
    "onyx": "If you ask me, the kitchen is too small, but the garden is wonderful.",
    "coral": "Have you seen the new film? My brother says that the end is a surprise.",
}
"""What the people behind a caller say, by voice."""
_SILENT: Final = 10 ** (-45 / 20)
"""Softer sound at the ends of a clip is left out, so that a caller's first sound is where the clip begins."""


@asynccontextmanager
async def embedded_voice() -> AsyncIterator[Engine]:
    """Yields the embedded engine, started, and closes it afterwards."""
    engine = HibariEngine()
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


class Voices:
    """All voices, made with an engine that has been started; a text that was spoken once is kept."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._spoken: dict[tuple[str, str], Samples] = {}
        self._noises: dict[str, Samples] = {}

    async def say(self, text: str, voice: str) -> Samples:
        """Returns a text at 8 kHz, as loud as callers are, without silence at its ends. Raises SpeechError."""
        if (text, voice) not in self._spoken:
            pcm = await self._pico(text, voice) if voice in PICO else await speech_of_caller(self._engine, text, voice)
            self._spoken[text, voice] = at_level(_trimmed(samples(pcm)), RATE_HZ, SPEECH_DBFS)
        return self._spoken[text, voice]

    async def line(self, line: Line) -> LineConditions:
        """Returns a new line as a scenario describes it."""
        noise = None
        if line.noise is not None:
            noise = at_level(await self._noise(line.noise.kind), RATE_HZ, SPEECH_DBFS - line.noise.snr_db)
        if line.echo is None:
            return LineConditions(RATE_HZ, noise=noise)
        return LineConditions(RATE_HZ, noise=noise, echo_db=line.echo.level_db, echo_delay_ms=line.echo.delay_ms)

    def sound(self, kind: str, name: str, lasts_ms: int) -> Samples:
        """Returns a sound as loud as speech; those of one kind and name are always the same."""
        random, count = np.random.default_rng(zlib.crc32(name.encode())), lasts_ms * RATE_HZ // 1000
        made = {
            "cough": lambda: cough(RATE_HZ, random),
            "music": lambda: music(count, RATE_HZ, random),
            "dial tone": lambda: tone(count, RATE_HZ, 350, 440),
            "beep": lambda: tone(count, RATE_HZ, 1_000),
        }[kind]()
        return at_level(made, RATE_HZ, SPEECH_DBFS)

    async def _noise(self, kind: str) -> Samples:
        if kind not in self._noises:
            random, count = np.random.default_rng(1), NOISE_S * RATE_HZ
            if kind == "white":
                self._noises[kind] = white(count, random)
            elif kind == "music":
                self._noises[kind] = music(count, RATE_HZ, random)
            else:
                clips = [await self.say(text, voice) for voice, text in BABBLE.items()]
                self._noises[kind] = babble(clips, count, random)
        return self._noises[kind]

    async def _pico(self, text: str, voice: str) -> Pcm:
        if importlib.util.find_spec("py_nanotts") is None:
            raise SpeechError(f"the voice {voice} needs a package: {install('pico')}")
        from py_nanotts import NanoTTS

        spoken = await asyncio.to_thread(NanoTTS().speak, text, voice=voice.removeprefix("pico-"), volume=0.4)
        return resample(np.frombuffer(spoken, np.int16), PICO_RATE_HZ, RATE_HZ)


async def speech_of_caller(engine: Engine, text: str, voice: str = SECOND) -> Pcm:
    """Returns the speech of a text at 8 kHz, in one of the engine's voices or in the demo's second one."""
    if voice != SECOND:
        return resample(await speech_of(engine, text, Style(voice=voice)), engine.sample_rate_hz, RATE_HZ)
    pitch_hz = round(engine.sample_rate_hz * CALLER_PITCH)
    return resample(await speech_of(engine, text, Style(speed=CALLER_SPEED)), pitch_hz, RATE_HZ)


async def speech_of(engine: Engine, text: str, style: Style | None = None) -> Pcm:
    """Returns the whole speech of a text, at the engine's rate. Raises SpeechError if there is none."""
    pieces = [chunk.pcm async for chunk in speak(engine, text, style or Style())]
    if not pieces:
        raise SpeechError(f"there is nothing to be heard of {text!r}")
    return np.concatenate(pieces)


def _trimmed(sound: Samples) -> Samples:
    loud = np.flatnonzero(np.abs(sound) > _SILENT)
    return sound[loud[0] : loud[-1] + 1] if loud.size else sound
