"""Draws the picture on top of docs/performance.md from the tables in the docs: python -m benchmarks.headlines"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).parents[1] / "docs"
PICTURE: Final = DOCS / "performance.png"
OURS, OTHERS = "tab:blue", "0.65"
_NUMBER: Final = re.compile(r"-?\d[\d,]*(?:\.\d+)?")

Row = dict[str, str]


def table(page: str, heading: str, column: str) -> list[Row]:
    """Returns the rows of the first table under a heading that has this column. Raises ValueError."""
    text = (DOCS / page).read_text()
    head: list[str] = []
    rows: list[Row] = []
    for line in text[text.index(f"# {heading}\n") :].splitlines():
        cells = [cell.strip().strip("*") for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells and rows:
            break
        if not cells:
            head = []
        elif not head:
            head = cells
        elif column in head and not set(line) <= set("|-: "):
            rows.append(dict(reversed(list(zip(head, cells, strict=False)))))  # of two columns of one name the first
    if not rows:
        raise ValueError(f"{page} has no table with {column!r} under {heading!r}")
    return rows


def number(cell: str) -> float:
    """Returns the first number of a cell. Raises ValueError."""
    if not (found := _NUMBER.search(cell)):
        raise ValueError(f"{cell!r} is no number")
    return float(found[0].replace(",", ""))


def draw(path: Path = PICTURE) -> None:
    """Draws one panel for each claim."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 2, figsize=(11, 7.5), layout="constrained")
    _lateness(panels[0][0])
    _frame(panels[0][1])
    _share(panels[1][0])
    _attacks(panels[1][1])
    for panel in panels.flat:
        panel.spines[["top", "right"]].set_visible(False)
        panel.title.set_fontsize(11)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _lateness(panel: Any) -> None:
    rows = table("performance.md", "Pacing", "p99.9 exact")
    for server, colour, name in (("peer", OTHERS, "asterisk-ai-voice-agent, playback alone"), ("ours", OURS, "ours")):
        own = [row for row in rows if row["server"] == server]
        calls, late_ms = ([number(row[column]) for row in own] for column in ("calls", "p99.9 exact"))
        panel.plot(calls, late_ms, "o-", color=colour, label=name)
    panel.set(title="A frame is on time: lateness of one in 1,000, ms", xlabel="calls on two cores", ylim=(0, None))
    panel.legend(frameon=False)


def _frame(panel: Any) -> None:
    rows = table("gpu.md", "A frame of the language models", "ms a frame")
    names, times_ms = [row["one call, 0.6B"] for row in rows], [number(row["ms a frame"]) for row in rows]
    bars = panel.barh(names, times_ms, color=[OURS if name == "ours" else OTHERS for name in names])
    panel.bar_label(bars, [f"{time_ms:g}" for time_ms in times_ms], padding=4)
    panel.axvline(80, color="tab:red", linestyle=":", label="80 ms: as long as it sounds")
    panel.set(title="One frame of Qwen3-TTS 0.6B, one call, H100, ms", xscale="log", xlim=(1, 600))
    panel.legend(frameon=False, loc="upper right")


def _share(panel: Any) -> None:
    rows = table("gpu.md", "What calls need, not what is possible", "GPU, `SPEECH_LEAD_MS=0`")
    alone = [row for row in rows if row["neighbour"] == "none"]
    places = range(len(alone))
    for column, colour, name, shift in (
        ("GPU, `SPEECH_LEAD_MS=0`", OTHERS, "each sentence as fast as it goes", -0.2),
        ("GPU, 800", OURS, "what is needed (the default)", 0.2),
    ):
        shares = [number(row[column]) for row in alone]
        panel.bar([place + shift for place in places], shares, 0.38, color=colour, label=name)
    panel.set_xticks(list(places), [row["calls"] for row in alone])
    panel.set(title="The GPU's share, %, H200: the rest is the recogniser's", xlabel="calls that speak without a pause")
    panel.legend(frameon=False)


def _attacks(panel: Any) -> None:
    rows = [
        row
        for row in table("attacks.md", "Attacked", "missing before")
        if "%" in row["missing before"] and row["attack"] != "no attack"
    ]
    rows.sort(key=lambda row: number(row["missing before"]))
    before = [number(row["missing before"]) for row in rows]
    now = [number(row["missing frames"].rpartition("(")[2]) for row in rows]
    panel.plot(before, "o", color=OTHERS, label="before each was mended")
    panel.plot(now, "o", color=OURS, label="now")
    panel.set(title=f"{len(rows)} attacks: frames that ten other calls missed, %", xlabel="attacks", ylim=(-3, 103))
    panel.set_xticks([])
    panel.legend(frameon=False, loc="upper left")


if __name__ == "__main__":
    draw()
    print(PICTURE)
