"""Voices that were uploaded to be cloned: a WAV and a JSON file each, so that they survive a restart."""

from __future__ import annotations

import io
import json
import os
import re
import time
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog

from engine.speech import Pcm, VoiceReference

log = structlog.get_logger(__name__)

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class StoredVoice:
    """One uploaded voice."""

    name: str
    language: str | None
    """The ISO 639-1 code of the language in the recording."""
    created: int
    """The time at which it was stored, in seconds since 1970."""
    reference: VoiceReference

    @property
    def duration_s(self) -> float:
        """The length of the recording."""
        return self.reference.pcm.size / self.reference.sample_rate_hz


class VoiceStoreError(Exception):
    """A voice could not be kept or deleted. The text is fit for an administrator."""


class VoiceStore:
    """The stored voices of one folder. All of them are in memory too: a minute of a recording is some 3 MB.

    The folder may hold other files. A voice is what has `<name>.json`, written last and removed first, so that one
    whose saving was cut short is not there at all. `save` and `delete` wait for the disk: keep them off the event loop.
    """

    def __init__(self, folder: Path, max_voices: int) -> None:
        self.folder = folder
        self.max_voices = max_voices
        self._voices: dict[str, StoredVoice] = {}

    def load(self) -> None:
        """Reads the folder, which need not exist. A voice that cannot be read is left out with a warning."""
        self._voices = {}
        for path in sorted(self.folder.glob("*.json")):
            try:
                voice = _read(path)
            except (OSError, ValueError, KeyError, TypeError, EOFError, wave.Error) as error:
                log.warning("left out a stored voice", path=str(path), error=str(error))
            else:
                self._voices[voice.name] = voice

    def voices(self) -> list[StoredVoice]:
        """Returns all voices, sorted by name."""
        return [self._voices[name] for name in sorted(self._voices)]

    def find(self, name: str) -> StoredVoice | None:
        """Returns the voice of this name, in any case; None if there is none."""
        return self._voices.get(name.strip().lower())

    def save(self, name: str, language: str | None, reference: VoiceReference) -> StoredVoice:
        """Stores a new voice. Raises VoiceStoreError where the disk or the number of voices does not allow it."""
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a voice: {NAME.pattern}")
        if len(self._voices) >= self.max_voices:
            raise VoiceStoreError(f"{len(self._voices)} voices are stored, as many as VOICES_MAX allows")
        voice = StoredVoice(name, language, int(time.time()), reference)
        facts = {"name": name, "language": language, "created": voice.created, "ref_text": reference.text}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(self.folder / f"{name}.wav", _to_wav(reference))
            _write(self.folder / f"{name}.json", json.dumps(facts, ensure_ascii=False, indent=2).encode())
        except OSError as error:
            raise VoiceStoreError(f"cannot store a voice in VOICES_DIR={self.folder}: {error.strerror}") from error
        self._voices[name] = voice
        return voice

    def delete(self, name: str) -> bool:
        """Deletes a voice and its files; returns False if there is none. Raises VoiceStoreError."""
        voice = self.find(name)
        if voice is None:
            return False
        try:
            (self.folder / f"{voice.name}.json").unlink(missing_ok=True)
            (self.folder / f"{voice.name}.wav").unlink(missing_ok=True)
        except OSError as error:
            raise VoiceStoreError(f"cannot delete from VOICES_DIR={self.folder}: {error.strerror}") from error
        self._voices.pop(voice.name, None)
        return True


def _read(path: Path) -> StoredVoice:
    facts: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    if facts["name"] != path.stem or not NAME.fullmatch(path.stem):
        raise ValueError(f"its name is {facts['name']!r}")
    with wave.open(str(path.with_suffix(".wav")), "rb") as recording:
        if recording.getnchannels() != 1 or recording.getsampwidth() != 2:
            raise ValueError("its WAV is not mono with 16 bits")
        pcm: Pcm = np.frombuffer(recording.readframes(recording.getnframes()), "<i2").astype(np.int16)
        reference = VoiceReference(pcm, recording.getframerate(), facts.get("ref_text"))
    return StoredVoice(facts["name"], facts.get("language"), int(facts["created"]), reference)


def _to_wav(reference: VoiceReference) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(reference.sample_rate_hz)
        recording.writeframes(reference.pcm.astype("<i2").tobytes())
    return file.getvalue()


def _write(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all, also when the power fails."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
