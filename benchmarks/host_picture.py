"""Draws docs/host.png from the table in docs/scaling.md: python -m benchmarks.host_picture"""

from __future__ import annotations

from typing import Any, Final

from benchmarks.headlines import DOCS, Row, number, table

HEADING: Final = "A host of 16 cores with one GPU"
LATE_GOAL_MS, FIRST_GOAL_MS = 10, 150
COLOURS: Final = {"off": "tab:blue", "on": "tab:orange"}


def _lines(panel: Any, rows: list[Row], columns: dict[str, str], goal_ms: float, what: str) -> None:
    """Draws a line for each column and setting; the first column's are dashed."""
    for detector, colour in COLOURS.items():
        those = [row for row in rows if row["detector"] == detector]
        calls = [number(row["calls"]) for row in those]
        for place, (column, label) in enumerate(columns.items()):
            values = [number(row[column]) for row in those]
            panel.plot(
                calls, values, "o--" if not place else "o-", color=colour, label=f"{label}, local detector {detector}"
            )
    panel.axhline(goal_ms, color="0.65", linewidth=1)
    panel.annotate(f"goal {goal_ms:g} ms", (250, goal_ms), color="0.4", fontsize=8, va="bottom")
    panel.set(xlabel="calls", ylabel=what, xticks=[250, 500, 1000])
    panel.legend(fontsize=8, frameon=False)
    panel.spines[["top", "right"]].set_visible(False)


def main() -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    rows = table("scaling.md", HEADING, "p99.9")
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    _lines(left, rows, {"p99": "p99", "p99.9": "p99.9"}, LATE_GOAL_MS, "how late a frame is, ms")
    left.set_yscale("log")
    first = {"text to first sound p50, ms": "p50", "p95": "p95"}
    _lines(right, rows, first, FIRST_GOAL_MS, "from the text to its first sound, ms")
    right.set_ylim(bottom=0)
    figure.savefig(DOCS / "host.png", dpi=90)


if __name__ == "__main__":
    main()
