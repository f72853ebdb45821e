"""Draws a recorded call: both sides' sound, who had the floor, the words heard and unheard, and each turn's stages."""

from __future__ import annotations

import math
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from bridge.journal import events
from bridge.review.drawing import AGENT, CALLER, DOTS_PER_INCH, FAINT, INK, Caption, draw_sound, style
from bridge.review.recorded_call import RecordedCall
from bridge.review.table import STAGES, clock

CUT: Final = "#c53030"
BOTH: Final = "#6b46c1"
TOOL: Final = "#2f855a"
FLOORS: Final = {"caller": CALLER, "agent": AGENT, "both": BOTH}
STRIP_S: Final = 60.0
"""How much of a call one strip of the picture shows."""
MAX_STRIPS: Final = 12
"""A longer call has longer strips."""
STRIP_INCHES: Final = (16.0, 6.5)
HEAD_INCHES: Final = 0.6
CHARACTERS: Final = 180
"""How many characters fit beside one another over a strip."""
BARS: Final = ("tools", *reversed(STAGES))
"""The rows of bars, from the lowest."""
MAX_TOOL_CHARS: Final = 30


def draw(call: RecordedCall, path: Path) -> None:
    """Writes the picture of a call as PNG."""
    duration_s = max(call.duration_s, 1.0)
    strip_s = max(STRIP_S, duration_s / MAX_STRIPS) if duration_s > STRIP_S else duration_s
    strips = math.ceil(duration_s / strip_s - 1e-6)
    height = HEAD_INCHES + strips * STRIP_INCHES[1]
    with style():
        figure = Figure(figsize=(STRIP_INCHES[0], height))
        ratios = (HEAD_INCHES, *[STRIP_INCHES[1]] * strips)
        head, *parts = figure.subfigures(strips + 1, 1, squeeze=False, height_ratios=ratios, hspace=0)[:, 0]
        head.text(0.05, 0.5, title(call), va="center", fontsize=15, fontweight="bold")
        for number, part in enumerate(parts):
            _draw_strip(call, part, number * strip_s, (number + 1) * strip_s)
        figure.savefig(path, dpi=DOTS_PER_INCH)


def title(call: RecordedCall) -> str:
    """Returns what stands over the picture."""
    started = call.started
    if started is None:
        return call.name
    who = f" from {started.from_}" if started.from_ else ""
    when = f", {started.time:%Y-%m-%d %H:%M:%S} UTC" if started.time is not None else ""
    return textwrap.shorten(f"A call{who} to {started.agent_name}{when}, {clock(call.duration_s * 1000)}", 120)


def _draw_strip(call: RecordedCall, figure: SubFigure, from_s: float, to_s: float) -> None:
    caller, floor, agent, bars = figure.subplots(
        4, 1, sharex=True, height_ratios=(2.1, 0.25, 2.9, 1.6),
        gridspec_kw={"left": 0.08, "right": 0.985, "top": 0.98, "bottom": 0.09, "hspace": 0.12},
    )  # fmt: skip
    heights = {}
    for side, (axes, color, name) in enumerate(((caller, CALLER, "caller"), (agent, AGENT, "agent"))):
        part = call.sound[int(from_s * call.rate_hz) : int(to_s * call.rate_hz), side] / 32768
        captions = [caption for caption in _captions(call, name, to_s) if from_s <= caption.start_s < to_s]
        density = CHARACTERS / (to_s - from_s)
        heights[name] = draw_sound(axes, part, call.rate_hz, color, name, captions, from_s, density)
    _draw_floor(call, floor, from_s, to_s)
    _draw_moments(call, caller, agent, heights, from_s, to_s)
    _draw_bars(call, bars, from_s, to_s)
    caller.set_xlim(from_s, to_s)


def _captions(call: RecordedCall, name: str, to_s: float) -> list[Caption]:
    """Returns one side's words; each has room until the next, or until the strip ends at `to_s`."""
    if name == "caller":
        found = [Caption(said.text, said.start_ms / 1000, said.end_ms / 1000) for said in call.of(events.UserSaid)]
    else:
        found = [
            Caption(said.text, said.start_ms / 1000, said.end_ms / 1000, said.unheard)
            for said in call.of(events.AgentSaid)
        ]
    nexts_s = [*(caption.start_s for caption in found[1:]), math.inf]
    return [
        replace(caption, room_s=max(min(next_s, to_s) - caption.start_s, 0.0))
        for caption, next_s in zip(found, nexts_s, strict=False)  # where nobody spoke there is one more of these
    ]


def _draw_floor(call: RecordedCall, axes: Axes, from_s: float, to_s: float) -> None:
    """Draws who may speak: a band in the colour of whoever does."""
    changes = call.of(events.FloorChanged)
    ends_s = [*(change.at_ms / 1000 for change in changes[1:]), call.duration_s]
    for change, end_s in zip(changes, ends_s, strict=False):  # where nothing changed there is one more of these
        start_s = change.at_ms / 1000
        if change.floor != "nobody" and start_s < to_s and end_s > from_s:
            axes.axvspan(start_s, end_s, color=FLOORS[change.floor], linewidth=0)
    axes.set_yticks([])
    axes.set_ylabel("floor", rotation=0, ha="right", va="center", color=INK)
    axes.tick_params(labelbottom=False, bottom=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_moments(
    call: RecordedCall, caller: Axes, agent: Axes, peaks: dict[str, float], from_s: float, to_s: float
) -> None:
    """Marks barge-ins, false ones, keys, faults and holds."""
    paused_s: float | None = None
    for event in call.events:
        at_s = event.at_ms / 1000
        inside = from_s <= at_s < to_s
        match event:
            case events.ResponsePaused():
                paused_s = at_s
            case events.ResponseResumed() if paused_s is not None:
                if at_s > from_s and paused_s < to_s:
                    agent.axvspan(paused_s, at_s, color=FAINT, alpha=0.25, linewidth=0)
                paused_s = None
            case events.ResponseInterrupted():
                cut_s, paused_s = (at_s if paused_s is None else paused_s), None
                if from_s <= cut_s < to_s:
                    for axes in (caller, agent):
                        axes.axvline(cut_s, color=CUT, linewidth=1.3, linestyle=(0, (4, 2)), zorder=1)
                    note = f" {event.reason}"
                    agent.text(cut_s, -1.15 * peaks["agent"], note, va="bottom", color=CUT, fontweight="bold")
            case events.Dtmf() if inside:
                key = {"boxstyle": "round", "facecolor": "white", "edgecolor": CALLER}
                caller.text(at_s, -0.9 * peaks["caller"], event.digit, ha="center", color=CALLER, bbox=key)
            case events.Fault() if inside:
                note = f" {event.service} failed"
                agent.text(at_s, 2.75 * peaks["agent"], note, va="top", color=CUT, fontweight="bold")


def _draw_bars(call: RecordedCall, axes: Axes, from_s: float, to_s: float) -> None:
    """Draws what each turn's time went into, and the tools."""
    rows = {name: row for row, name in enumerate(BARS)}

    def bar(row: str, start_ms: int, end_ms: int, color: str, note: str) -> None:
        start_s, end_s = start_ms / 1000, end_ms / 1000
        if start_s < to_s and end_s >= from_s:
            axes.barh(rows[row], end_s - start_s, left=start_s, height=0.7, color=color)
            axes.text(end_s, rows[row], f" {note}{end_ms - start_ms} ms", va="center", fontsize=7, clip_on=True)

    for turn in call.of(events.TurnDone):
        for stage in turn.stages:
            if stage.stage in rows:
                bar(stage.stage, stage.start_ms, stage.end_ms, AGENT, "")
    for tool in call.of(events.ToolDone):
        bar("tools", tool.at_ms - tool.took_ms, tool.at_ms, TOOL, f"{tool.tool[:MAX_TOOL_CHARS]} ")
    axes.set_yticks(range(len(BARS)), [STAGES.get(name, name) for name in BARS])
    axes.set_ylim(-0.6, len(BARS) - 0.4)
    axes.set_xlabel("seconds into the call", labelpad=1)
