"""`talkspurt judge` measures turn-taking in recordings: with what somebody knows, with our journal, and by sound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.__main__ import main
from bridge.interaction.measures import ActKind
from bridge.review.caller_acts import caller_acts
from bridge.review.recorded_call import load
from tests.bridge.review.test_call import record


def figures(capsys: pytest.CaptureFixture[str], *paths: Path) -> dict[str, Any]:
    assert main(["judge", "--json", *map(str, paths)]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def act(kind: str, start_ms: int, end_ms: int) -> dict[str, Any]:
    return {"type": "caller.act", "at_ms": end_ms, "kind": kind, "start_ms": start_ms, "end_ms": end_ms}


def stretch(start_ms: int, end_ms: int, text: str) -> list[dict[str, Any]]:
    began = {"type": "caller.started", "at_ms": start_ms + 200, "start_ms": start_ms}
    ended = {"type": "caller.stopped", "at_ms": end_ms + 400, "end_ms": end_ms}
    said = {"type": "transcript.user", "at_ms": end_ms + 500, "text": text, "start_ms": start_ms, "end_ms": end_ms}
    return [began, ended, said] if text else [began, ended]


def test_anybodys_recording_is_judged_by_its_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = figures(capsys, record(tmp_path, []))
    assert told["yield_latency_mean"] == pytest.approx(0.4, abs=0.05)
    assert told["response_latency_mean"] == pytest.approx(1.8, abs=0.05)
    assert (told["yield_rate"], told["response_rate"]) == (1.0, 1.0)
    assert told["talk_over_total_s"] == pytest.approx(0.4, abs=0.05)
    assert told["dead_air_total_s"] == pytest.approx(1.8, abs=0.05)
    assert told["selectivity_backchannel"] is None
    assert told["counts"]["turns"] == 1


def test_what_somebody_knows_of_a_sound_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = [*stretch(2_600, 4_600, "Stop."), act("backchannel", 1_000, 1_400), act("side_talk", 2_600, 4_600)]
    told = figures(capsys, record(tmp_path, events))
    assert (told["selectivity_backchannel"], told["selectivity_non_directed"]) == (1.0, 0.0)
    assert told["counts"]["turns"] == 0


def test_of_our_calls_the_words_tell_what_a_sound_was(tmp_path: Path) -> None:
    events = [
        *stretch(500, 700, "Mm-hm."), *stretch(1_000, 1_200, ""), *stretch(2_600, 4_600, "Stop it, please."),
    ]  # fmt: skip
    acts = caller_acts(load(record(tmp_path, events)))
    assert [one.kind for one in acts] == [ActKind.BACKCHANNEL, ActKind.VOCAL_TIC, ActKind.SPEECH]
    assert next(one.kind for one in caller_acts(load(tmp_path / "c1.wav"), "de")) is ActKind.BACKCHANNEL


def test_a_language_without_listeners_noises_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", "--language", "english", str(record(tmp_path, []))]) == 1
    assert "no listener's noises are known in 'english', but in de, en" in capsys.readouterr().err


def test_several_calls_make_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [record(tmp_path, [], name=name) for name in ("c1", "c2")]
    assert main(["judge", *map(str, paths)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].startswith("2 calls, 0.3 minutes")
    assert any(row.split() == ["yield", "rate,", "within", "2", "s", "1.00", "2"] for row in rows)


def test_what_cannot_be_judged_is_said_and_the_others_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lone.jsonl").write_text('{"type": "dtmf", "call_id": "c", "at_ms": 0, "digit": "5"}\n')
    assert main(["judge", str(tmp_path / "lone.jsonl"), str(record(tmp_path, []))]) == 1
    printed = capsys.readouterr()
    assert "there is no sound to judge" in printed.err
    assert "1 call" in printed.out
