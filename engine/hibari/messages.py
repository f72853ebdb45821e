"""What the engine and its worker processes say to each other over pipes.

A job is a line of JSON. Its answer is any number of PCM messages, among them WORD_STARTS where the job asks for it, and
then one END, UNSPEAKABLE or FAILED. READY, or FAILED, comes before the first job. A message is `HEADER` and a payload:
int16 PCM, int32 samples, or UTF-8 text for the others.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Final

from engine.hibari.voices import DEFAULT

HEADER: Final = struct.Struct("<BI")  # kind, length of the payload in bytes


class AnswerKind(IntEnum):
    """What a message from a worker is."""

    READY = 0
    PCM = 1
    END = 2
    UNSPEAKABLE = 3
    FAILED = 4
    WORD_STARTS = 5


@dataclass(frozen=True, slots=True)
class Speak:
    """One sentence to speak."""

    text: str
    voice: str = DEFAULT
    speed: float = 1.0
    seed: int = 0
    word_starts: bool = False
    """Whether to tell when its words begin."""

    def line(self) -> bytes:
        """The job as the worker reads it."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Speak:
        """What `line` made."""
        return cls(**json.loads(line))
