"""The process in which hibari makes speech: jobs on standard input, PCM on standard output, one job at a time.

It lives until its standard input ends, so it cannot outlive the process that started it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import BinaryIO, Final

import numpy as np

from engine.hibari.messages import HEADER, AnswerKind, Speak
from engine.hibari.synthesis import Synthesizer

# Below the calls' clock and the network: a late frame is heard, a sentence made some milliseconds later is not.
NICENESS: Final = 10


def serve(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Work until `jobs` ends."""

    def send(kind: AnswerKind, payload: bytes = b"") -> None:
        answers.write(HEADER.pack(kind, len(payload)) + payload)
        answers.flush()

    def tell(word_starts: Sequence[int]) -> None:
        send(AnswerKind.WORD_STARTS, np.array(word_starts, np.int32).tobytes())

    try:
        synthesizer = Synthesizer()
        for _ in synthesizer.speak(Speak("Warm up.")):
            pass
    except Exception as error:
        return send(AnswerKind.FAILED, f"hibari does not start: {error!r}".encode())
    send(AnswerKind.READY)
    for line in jobs:
        try:
            spoken = False
            job = Speak.read(line)
            for pcm in synthesizer.speak(job, tell if job.word_starts else None):
                send(AnswerKind.PCM, pcm.tobytes())
                spoken = True
            send(AnswerKind.END if spoken else AnswerKind.UNSPEAKABLE)
        except BrokenPipeError:
            return None
        except Exception as error:
            send(AnswerKind.FAILED, f"hibari failed: {error!r}".encode())
    return None


def main() -> None:
    """Serve on standard input and output."""
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group; the process that owns this one decides
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints gets between the answers
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
