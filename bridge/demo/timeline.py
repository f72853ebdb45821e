"""Draws the scripted call: both sides' sound, the barge-in, and how late each frame was."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bridge.converse.drawing import draw_lateness, draw_sides
from bridge.dial.reception import VOICED_DBFS
from bridge.line.audiosocket import FRAME_MS
from bridge.review.drawing import AGENT, DOTS_PER_INCH, FAINT, INK, Caption, style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.demo.scripted_call import BargeIn, ScriptedCall, SpokenText

CUT: Final = "#c53030"
DASHES: Final = (0, (4, 2))
SIZE_INCHES: Final = (16, 10)
ZOOM_MS: Final = (-70, 90)


def draw(call: ScriptedCall, path: Path) -> None:
    """Writes the timeline of a call with a barge-in as PNG."""
    barge_in = call.barge_in
    assert barge_in is not None
    with style():
        figure = Figure(figsize=SIZE_INCHES)
        grid = figure.add_gridspec(
            nrows=4, ncols=2, height_ratios=(2.1, 2.9, 0.8, 2.3), hspace=0.4, wspace=0.1,
            left=0.05, right=0.985, top=0.92, bottom=0.06,
        )  # fmt: skip
        caller = figure.add_subplot(grid[0, :])
        agent = figure.add_subplot(grid[1, :], sharex=caller)
        lateness = figure.add_subplot(grid[2, :], sharex=caller)
        figure.suptitle(
            "A call to Talkspurt, as its caller heard it", x=0.05, ha="left", fontsize=17, fontweight="bold"
        )
        _draw_sides(call, barge_in, caller, agent)
        draw_lateness(call.caller, lateness)
        _draw_barge_in(call, barge_in, figure.add_subplot(grid[3, 0]))
        _draw_words(call, barge_in, figure.add_subplot(grid[3, 1]))
        figure.savefig(path, dpi=DOTS_PER_INCH)


def _draw_sides(call: ScriptedCall, barge_in: BargeIn, caller: Axes, agent: Axes) -> None:
    start_s = call.caller.first_sent_s
    loudest = draw_sides(
        call.caller, _captions(call.caller_texts, start_s), _captions(call.agent_texts, start_s), caller, agent
    )
    for number, spoken in enumerate(call.agent_texts):
        note = f"{spoken.first_audio_ms:.0f} ms after {'the text' if number else 'dialling'}"
        agent.text(spoken.start_s - start_s, -1.15 * loudest, note, va="bottom", color=AGENT, fontweight="bold")
    cut_s = barge_in.requested_s - start_s
    for axes in (caller, agent):
        axes.axvline(cut_s, color=CUT, linewidth=1.3, linestyle=DASHES, zorder=1)
    agent.axvspan(cut_s, barge_in.whole_end_s - start_s, color=CUT, alpha=0.06, linewidth=0)
    note = f"barge-in: silent after {barge_in.silence_ms:.0f} ms"
    agent.text(cut_s + 0.1, 2.75 * loudest, note, va="top", color=CUT, fontsize=10, fontweight="bold")
    agent.text(
        barge_in.whole_end_s - start_s - 0.1, 2.4 * loudest, "what was still to come is dropped", va="top", ha="right",
        color=CUT,
    )  # fmt: skip


def _captions(texts: Sequence[SpokenText], start_s: float) -> list[Caption]:
    return [Caption(spoken.text, spoken.start_s - start_s, spoken.end_s - start_s) for spoken in texts]


def _draw_barge_in(call: ScriptedCall, barge_in: BargeIn, axes: Axes) -> None:
    """Draws the frames around the interrupt, each from when it came in."""
    received = call.caller.received
    begin_ms, end_ms = ZOOM_MS
    loudest = 0.02
    for at_s, (rate_hz, pcm), voiced in zip(received.arrivals_s, received.audio, received.voiced, strict=True):
        since_ms = (at_s - barge_in.requested_s) * 1000
        if not begin_ms - FRAME_MS < since_ms < end_ms:
            continue
        samples = np.frombuffer(pcm, "<i2") / 32768
        loudest = max(loudest, float(np.abs(samples).max()))
        axes.axvspan(since_ms, since_ms + FRAME_MS, color=AGENT, alpha=0.10 if voiced else 0.0, linewidth=0)
        axes.axvline(since_ms, color=FAINT, linewidth=0.6)
        axes.plot(since_ms + np.arange(samples.size) * 1000 / rate_hz, samples, color=AGENT, linewidth=0.9)
    last_ms = (barge_in.last_voiced_s - barge_in.requested_s) * 1000
    axes.axvline(0, color=CUT, linewidth=1.3, linestyle=DASHES)
    white = {"color": "white", "alpha": 0.8, "pad": 1}
    axes.text(1, 1.85 * loudest, "interrupt", color=CUT, va="top", fontsize=10, fontweight="bold", bbox=white)
    if last_ms > 0:
        axes.annotate("", (0, 1.3 * loudest), (last_ms, 1.3 * loudest), arrowprops={"arrowstyle": "<->", "color": INK})
    note = f"last voiced frame came in {abs(last_ms):.1f} ms {'after' if last_ms > 0 else 'before'} it"
    axes.text(max(last_ms, 0) + 1, 1.3 * loudest, note, va="center", fontsize=10, fontweight="bold", bbox=white)
    axes.set_xlim(begin_ms, end_ms)
    axes.set_ylim(-1.2 * loudest, 1.95 * loudest)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("ms from the interrupt", labelpad=1)
    axes.set_title("The barge-in, frame by frame")


def _draw_words(call: ScriptedCall, barge_in: BargeIn, axes: Axes) -> None:
    """Writes the text that was cut, and marks what was heard of it."""
    axes.axis("off")
    axes.set_title("What the server says was heard of it, for the history")
    text, heard = barge_in.answer.text, barge_in.heard.rstrip()
    end = len(heard) if text.startswith(heard) else 0
    written = 0
    for number, line in enumerate(textwrap.wrap(text, 76)):
        cut = min(max(end - written, 0), len(line))
        axes.text(0, 0.9 - 0.12 * number, line, transform=axes.transAxes, va="top", color=FAINT, family="monospace")
        axes.text(0, 0.9 - 0.12 * number, line[:cut], transform=axes.transAxes, va="top", family="monospace")
        written += len(line) + 1
    caller = call.caller
    assert caller.closed_s is not None
    assert caller.hung_up_s is not None
    stamps = "the kernel" if caller.unstamped < len(caller.received) / 2 else "the reader"
    notes = (
        f"The caller hung up; the server closed {(caller.closed_s - caller.hung_up_s) * 1000:.1f} ms later.\n"
        f"Times of arrival are by {stamps}. A frame is voiced when its peak is above {VOICED_DBFS:.0f} dBFS."
    )
    axes.text(0, 0.05, notes, transform=axes.transAxes, va="bottom", linespacing=1.7)
