"""The worker process in which hibari makes speech, one sentence at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from engine.child import connect, pack, read, send_logs
from engine.hibari.messages import Speak, unspeakable
from engine.hibari.pico import Pico
from engine.hibari.synthesis import Synthesizer
from engine.speech import Pcm, SpeechError

# Below the calls' clock and the network: a late frame is heard, a sentence made some milliseconds later is not.
NICENESS: Final = 10


def serve(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Works until `jobs` ends."""

    def send(answer: Any) -> None:
        answers.write(pack(answer))
        answers.flush()

    send_logs(send)
    try:
        synthesizer = Synthesizer()
        for _ in synthesizer.speak(Speak("Warm up.")):
            pass
    except Exception as error:
        return send(SpeechError(f"hibari does not start: {error!r}"))
    pico = Pico()
    send(None)
    while (job := read(jobs)) is not None:
        try:
            spoken = False
            for pcm in _sound(job, synthesizer, pico, send):
                send(pcm)
                spoken = True
            send(None if spoken else unspeakable(job.text, job.language))
        except BrokenPipeError:
            return None
        except Exception as error:
            send(SpeechError(f"hibari failed: {error!r}"))
    return None


def _sound(job: Speak, synthesizer: Synthesizer, pico: Pico, send: Callable[[Any], None]) -> Iterator[Pcm]:
    if job.language != "en":
        return pico.speak(job)
    return synthesizer.speak(job, send if job.word_starts else None)


if __name__ == "__main__":
    serve(*connect(NICENESS))
