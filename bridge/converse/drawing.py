"""Draws a call as its caller heard it: both sides' sound with their words, and how late each frame was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bridge.dial.caller import Caller
from bridge.dial.conformance import end_s
from bridge.dial.lateness import Spread, expected_frames, lateness_ms
from bridge.dial.wav import both_sides
from bridge.review.drawing import AGENT, CALLER, DOTS_PER_INCH, INK, Caption, draw_sound, style

SIZE_INCHES: Final = (16, 7)


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
