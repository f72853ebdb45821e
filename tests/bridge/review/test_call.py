"""`talkspurt call` shows a recorded call as a table and as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.__main__ import main
from bridge.dial.wav import write_wav

RATE_HZ = 8_000
PNG = b"\x89PNG"


def record(folder: Path, events: list[dict[str, Any]], *, seconds: float = 10, name: str = "c1") -> Path:
    """A recording with noise for the agent from 0.1 to 3 s and for the caller from 2.6 to 4.6 s, and its journal."""
    sound = np.zeros((round(seconds * RATE_HZ), 2), np.int16)
    noise = np.random.default_rng(1)
    for side, start_s, end_s in ((1, 0.1, 3.0), (0, 2.6, 4.6), (1, 6.4, 9.0)):
        part = slice(round(start_s * RATE_HZ), round(end_s * RATE_HZ))
        sound[part, side] = noise.normal(0, 3_000, len(sound[part]))
    path = folder / f"{name}.wav"
    write_wav(path, sound, RATE_HZ)
    if events:
        lines = (json.dumps({"call_id": "c1", "number": n, **event}) for n, event in enumerate(events, 1))
        path.with_suffix(".jsonl").write_text("".join(f"{line}\n" for line in lines))
    return path


def playing(turn: int, at_ms: int, *stages: tuple[str, int, int]) -> dict[str, Any]:
    told = [{"stage": name, "start_ms": start_ms, "end_ms": end_ms} for name, start_ms, end_ms in stages]
    return {
        "type": "turn.done",
        "turn": turn,
        "at_ms": at_ms,
        "interrupted": False,
        "stages": told,
        "response_ms": 1_800,
    }


EVENTS: list[dict[str, Any]] = [
    {"type": "call.started", "at_ms": 0, "time": "2030-01-02T03:04:05.678Z", "from": "5550100", "agent_name": "shop"},
    {"type": "floor.changed", "at_ms": 100, "floor": "agent"},
    {"type": "response.paused", "at_ms": 2_700, "text": "Hello", "audio_end_ms": 2_600},
    {"type": "transcript.agent", "at_ms": 3_000, "text": "Hello, this is", "unheard": "the shop.", "interrupted": True,
     "start_ms": 100, "end_ms": 3_000},
    {"type": "response.interrupted", "at_ms": 3_000, "text": "Hello", "audio_end_ms": 2_800, "reason": "words"},
    {"type": "floor.changed", "at_ms": 3_000, "floor": "caller"},
    {"type": "transcript.user", "at_ms": 5_000, "text": "A table for two.", "start_ms": 2_600, "end_ms": 4_600},
    {"type": "tool.done", "at_ms": 5_900, "tool": "book", "arguments": "{}", "result": "7", "took_ms": 400},
    {"type": "dtmf", "at_ms": 7_000, "digit": "5"},
    {"type": "call.dreamt", "at_ms": 7_100},
    {"type": "transcript.agent", "at_ms": 9_000, "text": "It is booked.", "interrupted": False, "start_ms": 6_400,
     "end_ms": 9_000},
    playing(1, 9_000, ("recogniser", 4_600, 5_000), ("model", 5_000, 5_500), ("playing", 6_400, 9_000)),
    {"type": "fault", "at_ms": 9_500, "service": "llm", "problem": "it is gone"},
    {"type": "call.ended", "at_ms": 10_000, "reason": "caller hung up", "next": "sales,1,1"},
]  # fmt: skip


@pytest.mark.parametrize("suffix", [".wav", ".jsonl"])
def test_a_call_is_shown_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    pytest.importorskip("matplotlib")
    path = record(tmp_path, EVENTS).with_suffix(suffix)
    assert main(["call", str(path)]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert lines[0] == "call c1 on 2030-01-02 at 03:04:05 UTC, 0:10.0"
    assert "  0:00.1  agent   Hello, this is [not heard: the shop.]" in lines
    assert "  0:02.6  caller  A table for two." in lines
    assert lines.index("  0:02.7  agent   (pauses)") > lines.index("  0:02.6  caller  A table for two.")
    assert "  0:05.5  tool    book({}) → 7, 400 ms" in lines
    assert "  0:09.5  fault   llm: it is gone" in lines
    assert "  0:10.0  call    ended: caller hung up, goes on at sales,1,1" in lines
    turn = next(line for line in lines if line.startswith("1  "))
    assert turn.split() == ["1", "0:06.4", "–", "400", "500", "–", "–", "–", "1800"]
    assert (tmp_path / "c1.png").read_bytes().startswith(PNG)


def test_a_long_call_is_drawn_in_strips(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from bridge.review import picture
    from bridge.review.recorded_call import load

    short, long = tmp_path / "short.png", tmp_path / "long.png"
    picture.draw(load(record(tmp_path, EVENTS)), short)
    picture.draw(load(record(tmp_path, EVENTS, seconds=130, name="c2")), long)
    heights = [int.from_bytes(path.read_bytes()[20:24], "big") for path in (short, long)]
    strip = picture.STRIP_INCHES[1] * picture.DOTS_PER_INCH
    assert heights[1] - heights[0] == pytest.approx(2 * strip, abs=2), "three strips of a minute each at most"


@pytest.mark.parametrize("events", [[], EVENTS[:1], EVENTS[:2]])
def test_a_call_is_drawn_in_which_nobody_said_anything(tmp_path: Path, events: list[dict[str, Any]]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["call", str(record(tmp_path, events))]) == 0
    assert (tmp_path / "c1.png").read_bytes().startswith(PNG)


def test_each_bar_of_a_long_call_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour's call has some thousands, and took minutes when each strip had them all."""
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    from bridge.review.picture import draw
    from bridge.review.recorded_call import load

    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    starts_ms = range(0, 130_000, 10_000)
    turns = [playing(1, at_ms + 500, ("model", at_ms, at_ms + 500)) for at_ms in starts_ms]
    floors = [{"type": "floor.changed", "at_ms": at_ms + 1, "floor": "agent"} for at_ms in starts_ms]
    draw(load(record(tmp_path, [*EVENTS[:1], *turns, *floors], seconds=130)), tmp_path / "c1.png")
    bars = [axes for axes in drawn[0].axes if axes.get_xlabel()]
    bands = [axes for axes in drawn[0].axes if axes.get_ylabel() == "floor"]
    assert [len(axes.patches) for axes in bars] == [6, 6, 1], "a strip is a minute"
    assert sum(len(axes.patches) for axes in bands) == len(starts_ms) + 2, "two bands go on in the next strip"


def test_prices_are_no_formulas(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    said = {"type": "transcript.user", "at_ms": 5_000, "start_ms": 2_600, "end_ms": 4_600}
    path = record(tmp_path, [*EVENTS, {**said, "text": "Is it $5, {or $7?"}])
    assert main(["call", str(path)]) == 0
    assert (tmp_path / "c1.png").read_bytes().startswith(PNG)


def test_without_a_journal_there_is_the_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", "--no-picture", str(record(tmp_path, []))]) == 0
    assert capsys.readouterr().out.strip() == "c1, 0:10.0"


def test_what_a_caller_sends_does_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = [{**EVENTS[0], "from": "\x1b[2J5550100"}, {**EVENTS[7], "result": "\x9b31mred\u202eder"}]
    assert main(["call", "--no-picture", str(record(tmp_path, events))]) == 0
    shown = capsys.readouterr().out
    assert "from ?[2J5550100" in shown
    assert "?31mred?der" in shown


def test_an_answer_at_the_very_beginning_is_shown_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    greeting = {**EVENTS[3], "start_ms": 0}
    assert main(["call", "--no-picture", str(record(tmp_path, [EVENTS[0], greeting]))]) == 0
    assert "  0:00.0  agent   Hello, this is" in capsys.readouterr().out


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", "--schema"]) == 0
    assert "call.started" in capsys.readouterr().out


def test_what_cannot_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_wav(tmp_path / "mono.wav", np.zeros(800, np.int16), RATE_HZ)
    (tmp_path / "no.wav").write_text("no sound")
    (tmp_path / "no.jsonl").write_text("{}\n")
    for name, problem in (
        ("mono.wav", "has 1 channels"),
        ("no.jsonl", "no.jsonl, line 1: type: Field required"),
        ("gone.wav", "gone.wav"),
    ):
        assert main(["call", "--no-picture", str(tmp_path / name)]) == 1
        assert problem in capsys.readouterr().err
