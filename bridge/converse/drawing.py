"""Draws a call as its caller heard it: both sides' sound with their words, and how late each frame was."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bridge.dial.caller import Caller
from bridge.dial.conformance import end_s
from bridge.dial.lateness import Spread, expected_frames, lateness_ms
from bridge.dial.wav import both_sides

if TYPE_CHECKING:
    from numpy.typing import NDArray

INK: Final = "#1f2933"
FAINT: Final = "#9aa5b1"
CALLER: Final = "#c05621"
AGENT: Final = "#2b6cb0"
DOTS_PER_INCH: Final = 120
STROKE_MS: Final = 5
"""This much sound is drawn as one vertical stroke, from its lowest to its highest sample."""
CAPTION_CHARACTERS_PER_S: Final = 9.0
SIZE_INCHES: Final = (16, 7)


@dataclass(frozen=True, slots=True)
class Caption:
    """Words, and when they were spoken in seconds from the caller's first frame."""

    text: str
    start_s: float
    end_s: float


@contextmanager
def style() -> Iterator[None]:
    """Draws in the project's colours meanwhile."""
    with mpl.rc_context(
        {
            "font.size": 9,
            "text.color": INK,
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


def draw_call(caller: Caller, title: str, said: Sequence[Caption], answered: Sequence[Caption], path: Path) -> None:
    """Writes the picture of a call that has ended as PNG."""
    with style():
        figure = Figure(figsize=SIZE_INCHES)
        above, middle, below = figure.subplots(
            3, 1, sharex=True, height_ratios=(2.1, 2.9, 0.8),
            gridspec_kw={"left": 0.05, "right": 0.985, "top": 0.91, "bottom": 0.07, "hspace": 0.35},
        )  # fmt: skip
        figure.suptitle(title, x=0.05, ha="left", fontsize=15, fontweight="bold")
        draw_sides(caller, said, answered, above, middle)
        draw_lateness(caller, below)
        figure.savefig(path, dpi=DOTS_PER_INCH)


def draw_sides(caller: Caller, said: Sequence[Caption], answered: Sequence[Caption], above: Axes, below: Axes) -> float:
    """Draws the caller's sound above the agent's, and returns the agent's peak."""
    rate_hz = caller.received.rate_hz
    sides = both_sides(caller) / 32768
    draw_sound(above, sides[:, 0], rate_hz, CALLER, "caller", said)
    loudest = draw_sound(below, sides[:, 1], rate_hz, AGENT, "agent", answered)
    above.set_xlim(0, sides.shape[0] / rate_hz)
    return loudest


def draw_sound(
    axes: Axes,
    sound: NDArray[np.float64],
    rate_hz: int,
    color: str,
    name: str,
    captions: Sequence[Caption],
) -> float:
    """Draws one side's waveform with captions, and returns its peak."""
    stroke = STROKE_MS * rate_hz // 1000
    strokes = sound[: sound.size // stroke * stroke].reshape(-1, stroke)
    times_s = (np.arange(len(strokes)) + 0.5) * STROKE_MS / 1000
    axes.fill_between(times_s, strokes.min(axis=1), strokes.max(axis=1), color=color, linewidth=0.4)
    loudest = max(0.05, float(np.abs(sound).max()))
    axes.set_ylim(-1.2 * loudest, 2.8 * loudest)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_ylabel(name, color=color, fontsize=13, fontweight="bold")
    axes.tick_params(labelbottom=False)
    for spoken in captions:
        begin_s, duration_s = spoken.start_s, spoken.end_s - spoken.start_s
        axes.plot([begin_s, begin_s + duration_s], [1.15 * loudest] * 2, color=color, linewidth=3)
        caption = textwrap.fill(spoken.text, max(18, int(duration_s * CAPTION_CHARACTERS_PER_S)))
        axes.text(
            begin_s, 1.28 * loudest, caption, va="bottom", bbox={"color": "white", "alpha": 0.8, "pad": 1}, zorder=2
        )
    return loudest


def draw_lateness(caller: Caller, axes: Axes) -> None:
    """Draws how late each of the agent's frames came."""
    received = caller.received
    late_ms = lateness_ms(received.arrivals_s, received.positions_s)
    spread = Spread.of(late_ms)
    if spread is None:
        return
    times_s = received.arrivals_s - caller.first_sent_s
    axes.scatter(times_s, late_ms, s=4, color=INK, alpha=0.6, linewidths=0)
    axes.set_ylim(0, max(5.0, 1.3 * spread.max))
    axes.set_ylabel("late, ms")
    axes.set_xlabel("seconds into the call", labelpad=1)
    expected = expected_frames(received.arrivals_s, end_s(caller))
    axes.set_title(
        f"Each frame on the 20 ms grid: p50 {spread.p50:.2f}, p99 {spread.p99:.2f}, worst {spread.max:.2f} ms late; "
        f"{len(received)} frames of {expected} expected"
    )
