"""Shows what became of scenarios: a table for the terminal, and for each call its sound, picture and figures."""

from __future__ import annotations

import importlib.util
import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from bridge.converse.journal_lines import journal
from bridge.converse.server_group import Outcome
from bridge.converse.voices import RATE_HZ
from bridge.dial.wav import both_sides, write_wav

MEASURED_CHARS: Final = 60
"""How much of what was measured the table shows; the figures' file has all of it."""
BUSY_MS: Final = 60
"""A caller whose own frames were so late was on a busy machine, and so perhaps was the server."""


def table(outcomes: Sequence[Outcome], *, short: bool = False) -> str:
    """Returns a line for each expectation (if `short`, only for those that do not pass), and counts the scenarios."""
    rows = [("scenario", "expectation", "measured", "")]
    for outcome in outcomes:
        name = outcome.scenario.name
        for verdict in outcome.verdicts:
            if short and verdict.passed:
                continue
            rows.append((name, verdict.expectation, _short(verdict.measured), _word(outcome, verdict.passed)))
            name = ""
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*(lines if len(lines) > 1 else ()), "", *_summary(outcomes)]).lstrip()


def _word(outcome: Outcome, passed: bool | None) -> str:
    if passed is None:
        return "not measured"
    if passed:
        return "pass"
    return "fails, as expected" if outcome.scenario.expected_failure else "FAIL"


def _summary(outcomes: Sequence[Outcome]) -> list[str]:
    passed = sum(outcome.passed for outcome in outcomes)
    lines = [f"{passed} of {len(outcomes)} scenarios pass"]
    known = [outcome for outcome in outcomes if not outcome.passed and outcome.scenario.expected_failure]
    lines += [f"fails, as expected: {one.scenario.name} ({one.scenario.expected_failure})" for one in known]
    surprises = [outcome.scenario.name for outcome in outcomes if outcome.passed and outcome.scenario.expected_failure]
    lines += [f"passes, though a failure was expected: {name}; take its expected_failure away" for name in surprises]
    late_ms = max((outcome.caller.late_s * 1000 for outcome in outcomes), default=0.0)
    if late_ms > BUSY_MS:
        lines.append(f"this machine was busy: a caller's own frame was {late_ms:.0f} ms late, so times are too long")
    return lines


def write(outcome: Outcome, folder: Path) -> None:
    """Leaves a call as stereo WAV (caller left, agent right), journal, JSON and, with matplotlib, as a picture."""
    if not outcome.caller.connected:
        return
    stem = folder / (re.sub(r"[^\w.-]+", "-", outcome.scenario.name).strip("-") or "scenario")
    write_wav(stem.with_name(f"{stem.name}.wav"), both_sides(outcome.caller), RATE_HZ)
    timeline = outcome.timeline
    figures = {
        "scenario": outcome.scenario.name,
        "about": outcome.scenario.about,
        "expected_failure": outcome.scenario.expected_failure or None,
        "passed": outcome.passed,
        "verdicts": [asdict(verdict) for verdict in outcome.verdicts],
        "caller": [asdict(act) for act in timeline.acts],
        "events": [{"received_s": round(at_s, 3), **event} for at_s, event in timeline.events],
        "call": timeline.state,
    }
    lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in journal(outcome))
    stem.with_name(f"{stem.name}.jsonl").write_text(lines)
    stem.with_name(f"{stem.name}.json").write_text(json.dumps(figures, ensure_ascii=False, indent=2) + "\n")
    if importlib.util.find_spec("matplotlib") is not None and len(outcome.caller.received):
        _draw(outcome, stem.with_name(f"{stem.name}.png"))


def _draw(outcome: Outcome, path: Path) -> None:
    from bridge.converse.drawing import draw_call
    from bridge.review.drawing import Caption

    timeline = outcome.timeline
    said = [Caption(act.text, act.start_s, act.end_s) for act in timeline.acts]
    entries = timeline.state["conversation"]["transcript"] if timeline.state is not None else []
    answered = [
        Caption(entry["text"], entry["start_ms"] / 1000, entry["end_ms"] / 1000)
        for entry in entries
        if entry["who"] == "agent"
    ]
    title = outcome.scenario.name + (f": {outcome.scenario.about}" if outcome.scenario.about else "")
    draw_call(outcome.caller, textwrap.shorten(title, 120), said, answered, path)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MEASURED_CHARS else line[: MEASURED_CHARS - 1] + "…"
