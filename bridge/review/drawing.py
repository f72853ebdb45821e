"""Draws one side of a call: its sound, and its words above it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

if TYPE_CHECKING:
    from numpy.typing import NDArray

INK: Final = "#1f2933"
FAINT: Final = "#9aa5b1"
CALLER: Final = "#c05621"
AGENT: Final = "#2b6cb0"
DOTS_PER_INCH: Final = 120
STROKE_MS: Final = 5
"""This much sound is drawn as one vertical stroke, from its lowest to its highest sample."""
MAX_STROKES: Final = 12_000
"""A stretch that would have more has longer ones: the picture has not so many columns."""
CAPTION_CHARACTERS_PER_S: Final = 9.0


@dataclass(frozen=True, slots=True)
class Caption:
    """Words, and when they were spoken in seconds from the caller's first frame."""

    text: str
    start_s: float
    end_s: float
    unheard: str = ""
    """What would have followed on it."""
    room_s: float = 0.0
    """How long there is nothing else above the line, from `start_s` on; 0 for as long as it was spoken."""


@contextmanager
def style() -> Iterator[None]:
    """Draws in the project's colours meanwhile."""
    with mpl.rc_context(
        {
            "font.size": 9,
            "text.color": INK,
            "text.parse_math": False,  # the words between two prices are no formula
            "axes.labelcolor": INK,
            "axes.edgecolor": FAINT,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titleweight": "bold",
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
        }
    ):
        yield


def draw_sound(
    axes: Axes,
    sound: NDArray[np.float64],
    rate_hz: int,
    color: str,
    name: str,
    captions: Sequence[Caption],
    start_s: float = 0.0,
    characters_per_s: float = CAPTION_CHARACTERS_PER_S,
) -> float:
    """Draws one side's waveform, which begins at `start_s`, with captions, and returns its peak.

    A second of the picture has room for `characters_per_s`.
    """
    stroke = max(STROKE_MS * rate_hz // 1000, sound.size // MAX_STROKES)
    strokes = sound[: sound.size // stroke * stroke].reshape(-1, stroke)
    times_s = start_s + (np.arange(len(strokes)) + 0.5) * stroke / rate_hz
    axes.fill_between(times_s, strokes.min(axis=1), strokes.max(axis=1), color=color, linewidth=0.4)
    loudest = max(0.05, float(np.abs(sound).max(initial=0.0)))
    axes.set_ylim(-1.2 * loudest, 2.8 * loudest)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_ylabel(name, color=color, fontsize=13, fontweight="bold")
    axes.tick_params(labelbottom=False)
    for spoken in captions:
        axes.plot([spoken.start_s, spoken.end_s], [1.15 * loudest] * 2, color=color, linewidth=3)
        width_s = spoken.room_s or spoken.end_s - spoken.start_s
        _draw_caption(axes, spoken, 1.28 * loudest, max(18, int(width_s * characters_per_s)))
    return loudest


def _draw_caption(axes: Axes, spoken: Caption, height: float, width: int) -> None:
    """Writes the words, and over them once more those that were heard: the others stay faint."""
    white = {"color": "white", "alpha": 0.8, "pad": 1}
    if not spoken.unheard:
        heard = textwrap.fill(spoken.text, width)
        axes.text(spoken.start_s, height, heard, va="bottom", bbox=white, zorder=2)
        return
    lines = textwrap.wrap(f"{spoken.text} {spoken.unheard}", width)
    left, heard_lines = len(" ".join(spoken.text.split())), []
    for line in lines:
        heard_lines.append(line[: max(left, 0)])
        left -= len(line) + 1
    axes.text(spoken.start_s, height, "\n".join(lines), va="bottom", color=FAINT, bbox=white, zorder=2)
    axes.text(spoken.start_s, height, "\n".join(heard_lines), va="bottom", zorder=3)
