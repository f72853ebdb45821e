"""The voices that the model's process can speak with: the checkpoint's own, and those learned from recordings."""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import structlog

from engine.qwen3.messages import Learn, Learned
from engine.qwen3.model.checkpoint import Checkpoint
from engine.qwen3.model.prompt import Speaker
from engine.qwen3.model.speakers import cloned_speaker, designed_speaker, named_speaker
from engine.speech import SpeechError

log = structlog.get_logger(__name__)


class KnownVoices:
    """The voices of one process, used from one thread; recordings are worked on in another."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._taught: dict[str, Speaker] = {}
        self._coming: set[str] = set()
        self._arrived: queue.SimpleQueue[tuple[str, Speaker | SpeechError]] = queue.SimpleQueue()
        # Taking a voice keeps the GPU busy for longer than a frame, so it runs beside the frames, not between them.
        self._thread = ThreadPoolExecutor(1, "clone")

    @property
    def busy(self) -> bool:
        """Whether a recording is being worked on."""
        return bool(self._coming)

    def is_coming(self, voice: str) -> bool:
        """Tells whether the recording of this voice is being worked on."""
        return voice in self._coming

    def speaker(self, voice: str) -> Speaker:
        """Returns the speaker for a key of `Speak.voice`. Raises SpeechError where there is no such voice."""
        if voice == "designed":
            return designed_speaker()
        name = voice.removeprefix("speaker:")
        if name != voice:
            if name not in self._checkpoint.ids.speakers:
                raise SpeechError(f"this model has no speaker {name!r}")
            return named_speaker(self._checkpoint, name)
        if voice not in self._taught:
            raise SpeechError("the recording of this voice could not be used")
        return self._taught[voice]

    def learn(self, command: Learn) -> None:
        """Begins to take the voice of a recording; `arrived` tells when that is done."""
        self._coming.add(command.key)
        self._thread.submit(self._learn, command)

    def forget(self, key: str) -> None:
        """Lets go of a voice that was taken from a recording, or is being taken."""
        self._taught.pop(key, None)
        self._coming.discard(key)

    def arrived(self) -> list[Learned]:
        """Returns what became of the recordings done since the last call; their voices are known from now on."""
        told = []
        while not self._arrived.empty():
            key, speaker = self._arrived.get()
            if key not in self._coming:
                continue  # forgotten meanwhile
            self._coming.discard(key)
            if isinstance(speaker, SpeechError):
                told.append(Learned(key, str(speaker)))
            else:
                self._taught[key] = speaker
                told.append(Learned(key))
        return told

    def close(self) -> None:
        """Waits for the thread to end."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _learn(self, learn: Learn) -> None:
        pcm = np.frombuffer(learn.pcm, np.int16)
        try:
            speaker = cloned_speaker(self._checkpoint, learn.key, pcm, learn.sample_rate_hz, learn.text, learn.keep)
        except SpeechError as error:
            self._arrived.put((learn.key, error))
        except Exception as error:
            log.exception("a voice could not be taken")
            self._arrived.put((learn.key, SpeechError(f"the recording cannot be used: {type(error).__name__}")))
        else:
            self._arrived.put((learn.key, speaker))
