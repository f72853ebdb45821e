"""What benchmarks report, where a wrong report would pass for a measurement."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import fleet, headlines
from benchmarks.playback import heard
from benchmarks.turn_stages import TurnStages, tables

RATE_HZ = 24_000


def sound(seconds: float, level: float = 0.1) -> bytes:
    tone = np.sin(np.arange(int(seconds * RATE_HZ)) * 0.1) * level
    return (tone * 32767).astype(np.int16).tobytes()


def test_silence_at_the_beginning_is_no_first_sound() -> None:
    one = heard([(10.05, sound(0.08, 0.0001)), (10.09, sound(0.08))], sent_s=10.0)
    assert one is not None
    assert (one.first_ms, one.audible_ms) == (pytest.approx(50), pytest.approx(90))
    assert one.played_ms == pytest.approx(130)
    assert (one.gaps, one.sound_s) == (0, pytest.approx(0.16))


def test_a_piece_that_comes_when_the_last_one_has_been_played_is_an_underrun_and_moves_all_that_follows() -> None:
    pieces = [(0.0, sound(0.08)), (0.1, sound(0.16)), (0.25, sound(0.16)), (0.45, sound(0.16))]
    one = heard(pieces, sent_s=0.0)
    assert one is not None
    assert (one.gaps, one.gap_ms) == (2, pytest.approx(30))


def test_a_piece_may_end_within_a_sample() -> None:
    whole = sound(0.2)
    one = heard([(0.0, whole[:1001]), (0.001, whole[1001:])], sent_s=0.0)
    assert one is not None
    assert (one.gaps, one.sound_s) == (0, pytest.approx(0.2))


def test_silence_is_not_heard() -> None:
    assert heard([(0.0, bytes(9600))], sent_s=0.0) is None
    assert heard([], sent_s=0.0) is None


def test_a_peer_that_fails_after_it_has_printed_something_is_told_of() -> None:
    pytest.importorskip("torch")
    from benchmarks.tts_gpu import peers_told

    code = "import sys; print('a warning'); raise RuntimeError('out of memory')"
    assert peers_told([sys.executable, "-c", code]) == (
        "a warning\na peer was not measured: RuntimeError: out of memory"
    )
    assert peers_told([sys.executable, "-c", "print('fast')"]) == "fast"


def test_a_turns_own_share_is_what_is_left_without_recogniser_and_model_and_its_parts_are_all_of_it() -> None:
    trace = {
        "end_known_ms": 224, "transcript_ms": 300, "first_token_ms": 400, "first_sentence_ms": 500,
        "first_audio_ms": 530, "first_frame_ms": 540,
    }  # fmt: skip
    turn = TurnStages(trace, sent_ms=545, asked_ms=310, arrived_ms=560, inside_ms=12)
    assert turn.stations() == (5, 229, 305, 310, 405, 505, 535, 545, 560, 572)
    assert turn.own() == (5, 30, 10, 15, 12, 72)
    assert (turn.decided_ms, turn.model_ms) == (300, 200)
    assert turn.own()[-1] + turn.decided_ms + turn.model_ms == turn.stations()[-1]
    stations, own = tables({"fast": [turn], "none": []})
    assert stations[-1] == ("the first sound in it", "572 / 572")
    assert own[0] == ("ms, p50 / p95", "fast")


def test_what_was_made_before_the_words_were_final_is_no_part_of_the_own_share() -> None:
    trace = {"transcript_ms": 300, "first_sentence_ms": 200, "first_audio_ms": 260, "first_frame_ms": 315}
    turn = TurnStages(trace, sent_ms=315, asked_ms=100, arrived_ms=318, inside_ms=0)
    assert turn.own() == (0, 0, 15, 3, 0, 18)
    assert "–" in tables({"early": [turn]})[0][2][1], "when the end was known nobody has told"


def test_the_picture_of_the_headlines_has_its_tables(tmp_path: Path) -> None:
    headlines.draw(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 20_000
    ours = [row for row in headlines.table("performance.md", "Pacing", "p99.9 exact") if row["server"] == "ours"]
    assert [headlines.number(row["calls"]) for row in ours] == [1, 100, 250, 500]
    with pytest.raises(ValueError, match="no table"):
        headlines.table("performance.md", "Pacing", "a column that is nowhere")


def test_a_fleet_has_room_for_its_calls_though_a_rack_is_gone() -> None:
    one = fleet.Fleet(1_000, speaking=1.0)
    assert (len(one.bridges), len(one.gpus)) == (3, 3)
    one.run()
    calls, share, _ = one.worst(fleet.LOST_S, fleet.BACK_S)
    assert 900 < calls < 1_150
    assert share < fleet.STRAINED
    assert one.refused == 0
    assert 200 < one.resumed < 500
    assert 200 < one.moved < 500


def test_a_fleet_that_is_too_small_refuses_calls() -> None:
    one = fleet.Fleet(1_000, speaking=1.0)
    one.bridges = one.bridges[:1]
    one.bridges[0].room = 100
    one.run()
    assert one.refused > 100_000
