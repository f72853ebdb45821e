"""What an embedded model makes of a stretch of audio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

RATE_HZ: Final = 16_000
"""The rate that every embedded model wants."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """The words in a stretch of audio."""

    text: str
    """It is empty if there are none."""
    confidence: float = 0.0
    """The mean log-probability of the words: 0 is certain, and what lies lower is less so."""


class Model(Protocol):
    """A model, loaded."""

    def recognise(self, pcm: bytes) -> Recognition:
        """Returns the words in 16 kHz 16-bit mono audio."""
