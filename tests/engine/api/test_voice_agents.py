"""The speech services of frameworks for voice agents, as their packages have them, against the server."""

from __future__ import annotations

import wave

import numpy as np
import pytest

from engine.audio import resample
from engine.hibari import HibariEngine
from engine.speech import Style
from tests.support.clients import speak
from tests.support.decoders import likeness
from tests.support.recognition import recognise, word_error_rate
from tests.support.speech_server import speech_server
from tests.support.tone_engine import RATE_HZ, sound_of

TEXT = "Your table is booked for eight."


def samples_of(path) -> tuple[np.ndarray, int]:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16), file.getframerate()


@pytest.mark.timeout(480)  # the first time on a machine downloads the library
@pytest.mark.parametrize("library", ["livekit", "pipecat"])  # asks for mp3 in events, for raw PCM
async def test_speaks_through(library, engine, tmp_path):
    async with speech_server(engine, tmp_path / "voices", api_key="secret") as server:
        await speak(library, f"{server.url}/v1", "gpt-4o-mini-tts", TEXT, tmp_path / "heard.wav")
    assert [text for text, *_ in engine.spoken] == [TEXT]
    heard, rate_hz = samples_of(tmp_path / "heard.wav")
    voice = engine.spoken[0][1].voice
    assert likeness(heard, resample(sound_of(TEXT, Style(voice=voice)), RATE_HZ, rate_hz)) > 0.9


@pytest.mark.timeout(480)
async def test_words_of_the_embedded_voice_are_understood(tmp_path):
    engine = HibariEngine()
    await engine.start()
    try:
        async with speech_server(engine, tmp_path / "voices") as server:
            await speak("livekit", f"{server.url}/v1", "tts-1", TEXT, tmp_path / "heard.wav")
    finally:
        await engine.close()
    heard, rate_hz = samples_of(tmp_path / "heard.wav")
    assert word_error_rate([TEXT], [await recognise(heard, rate_hz)]) == 0
