"""The process of one embedded model: `python -m bridge.hearing.asr.recognition_worker moonshine|whisper LANGUAGE`.

It is sent (number, 16 kHz 16-bit mono audio) and answers with (number, words, confidence, traceback or nothing).
"""

from __future__ import annotations

import sys
import traceback
from typing import Any, BinaryIO, Final

from bridge.hearing.asr.moonshine import Moonshine
from bridge.hearing.asr.recognition import Model
from bridge.hearing.asr.whisper import Whisper
from engine.child import connect, pack, read, send_logs

NICENESS: Final = 5
"""The process's niceness: recognition has to wait for the calls' clock, never the other way round."""
CHATTY: Final = ("faster_whisper",)
"""Loggers that report everything that is recognised, and are silenced."""


def serve(asked: BinaryIO, answers: BinaryIO, name: str, language: str) -> None:
    """Works until `asked` ends. Raises ImportError or OSError if the model is not installed."""

    def send(message: Any) -> None:
        answers.write(pack(message))
        answers.flush()

    send_logs(send, CHATTY)
    model: Model = Moonshine() if name == "moonshine" else Whisper(language)
    while (job := read(asked)) is not None:
        number, pcm = job
        try:
            found = model.recognise(pcm)
            send((number, found.text, found.confidence, ""))
        except Exception:
            send((number, "", 0.0, traceback.format_exc()))


if __name__ == "__main__":
    serve(*connect(NICENESS), *sys.argv[1:])
