"""The voices of an engine that has one: heart as it was trained, and others drawn from it.

hibari's network gives a spectral envelope and a pitch curve apart from each other, so other speakers can be made of the
one it knows: the pitch is moved along the curve, and the formants by making the sound longer or shorter and playing it
at another rate. They are characters, not people. None is the voice that another vendor sells under that name; but a
name is always the same voice, can be told from the others, and is understood as well as heart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Variant:
    """The changes to heart, who speaks at about 195 Hz, that make another voice."""

    pitch: float = 1.0
    """Factor on the pitch, the mean over a sentence."""
    formant_percent: int = 100
    """Where the formants lie: below 100 is a longer vocal tract, a larger speaker."""
    melody: float = 1.0
    """Exponent on how far the pitch strays from its mean: below 1 is calm, above lively."""
    pace: float = 1.0
    """Factor on the speed."""


DEFAULT: Final = "heart"

VARIANTS: Final[dict[str, Variant]] = {
    DEFAULT: Variant(),
    # the nine of Qwen3-TTS
    "vivian": Variant(1.12, 100, 1.25, 1.02),
    "serena": Variant(0.94, 106, 0.7, 0.90),
    "uncle_fu": Variant(0.50, 86, 1.1, 0.86),
    "dylan": Variant(0.70, 87, 1.0, 1.10),
    "eric": Variant(0.61, 94, 1.3, 1.10),
    "ryan": Variant(0.54, 90, 1.4, 1.02),
    "aiden": Variant(0.80, 84, 1.3, 1.00),
    "ono_anna": Variant(1.20, 104, 1.6, 0.98),
    "sohee": Variant(1.06, 96, 1.4, 0.96),
    # OpenAI's thirteen
    "alloy": Variant(0.80, 92, 0.7, 1.00),
    "ash": Variant(0.57, 83, 0.9, 1.04),
    "ballad": Variant(0.64, 88, 1.5, 0.90),
    "cedar": Variant(0.58, 92, 0.8, 0.90),
    "coral": Variant(1.00, 106, 1.3, 1.06),
    "echo": Variant(0.66, 81, 0.6, 0.98),
    "fable": Variant(0.88, 97, 1.5, 0.92),
    "marin": Variant(1.12, 106, 1.4, 0.90),
    "nova": Variant(1.18, 103, 1.1, 1.10),
    "onyx": Variant(0.45, 80, 0.8, 0.95),
    "sage": Variant(0.90, 100, 0.6, 0.98),
    "shimmer": Variant(1.18, 98, 0.75, 0.98),
    "verse": Variant(0.73, 94, 1.6, 1.06),
}
