"""What the benchmarks of a host and of two GPUs report, where a wrong report would pass for a measurement."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.host_services import QUIET_PIECES, Turns
from benchmarks.host_table import Row, first_sounds_ms
from benchmarks.overload_table import Heard as HeardInOverload
from benchmarks.overload_table import Seen, Told, table
from benchmarks.two_gpus import row, told_of_kill
from benchmarks.two_gpus_listeners import Found, Heard

WHOLE = 96_000
"""The samples of a whole sentence: 4 s."""


def test_a_first_sound_is_that_of_its_own_call_and_after_its_text() -> None:
    texts = [("a", 10.0), ("b", 10.1), ("a", 20.0), ("c", 20.0), ("d", 30.0)]
    heard = [("a", 20.07), ("a", 10.05), ("b", 10.2), ("b", 9.0), ("d", 39.0)]
    assert first_sounds_ms(texts, heard) == pytest.approx([50, 100, 70])


def test_the_recogniser_tells_where_the_sound_begins_and_ends() -> None:
    turns, loud, quiet = Turns("Hello."), np.full(160, 900, "<i2").tobytes(), bytes(320)
    assert turns.hear(quiet) is None
    assert (turns.hear(loud) or {})["event"] == "StartOfTurn"
    assert [turns.hear(piece) for piece in (loud, *[quiet] * (QUIET_PIECES - 1), loud)] == [None] * (QUIET_PIECES + 1)
    *waiting, told = [turns.hear(quiet) for _ in range(QUIET_PIECES)]
    assert not any(waiting)
    assert (told or {})["transcript"] == "Hello."
    assert turns.hear(quiet) is None


def test_a_row_counts_the_cores_of_all_that_the_server_is() -> None:
    one = Row(
        calls=300, late_ms=np.array([0.1] * 998 + [7.0] * 2), missing=5, silent=2, first_ms=[50.0, 60.0, 90.0],
        unanswered=1, lost=2, workers=[0.5, 0.7], supervisor=0.2, engines=[0.6], callers=[0.4], services=[0.2],
        gpu=None, voiced=700, callers_late_ms=3.0,
    )  # fmt: skip
    calls, *late, missing, silent, p50, p95, answers, unanswered, workers, busiest = one.cells()[:13]
    assert (calls, *late) == ("300", "0.10", "0.10", "7.00", "7.00")
    assert (missing, silent, p50, p95, answers, unanswered) == ("5 of 1,005", "2", "60", "90", "3", "3")
    assert (workers, busiest) == ("1.20 of 2", "70%")
    assert one.cells()[-1] == "150"
    assert "250 calls a core" in one.more()


def test_an_overloaded_server_that_does_not_answer_is_told_of_once_it_does() -> None:
    seen = Seen(heard=[HeardInOverload(1.0, 11.0, np.concatenate([np.arange(1, 5, 0.02), np.arange(5, 11, 0.04)]))])
    seen.came[1] += 1
    seen.cut[11] += 1
    seen.told += [Told(1.0, 0, False, 0, 0, 0), Told(12.0, 1, True, 400, 300, 7)]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(seen, 5).splitlines()[2:]]
    assert rows == [
        ["0", "0–0", "1", "0", "0", "0", "0", "0%", "–", "0", "100.0%"],
        ["5", "–", "0", "0", "0", "0", "0", "–", "–", "–", "50.0%"],
        ["10", "1–1", "0", "0", "0", "0", "1", "100%", "25%", "7", "50.0%"],
    ]


def sentence(listener: str, asked_s: float, **told: object) -> Heard:
    one = Heard(listener, asked_s, asked_s + 0.05, asked_s + 4.0, WHOLE, fresh=True)
    for name, value in told.items():
        setattr(one, name, value)
    return one


def test_what_a_kill_cost_is_told_of_those_that_were_being_made() -> None:
    found = Found(
        [
            sentence("a", 1.0),
            sentence("b", 9.0, samples=WHOLE - 2_400, gaps=[(10.3, 0.2)]),
            sentence("c", 9.0, samples=WHOLE + 1_200),
            sentence("d", 9.5, samples=20_000, error="SpeechError: it is gone"),
            sentence("e", 9.8, gaps=[(9.9, 0.5)]),
            sentence("f", 11.0),
        ],
        moved=3,
    )
    told = dict(line.strip("| ").split(" | ") for line in told_of_kill([found], killed_s=10.0).splitlines()[2:])
    values = list(told.values())
    assert values[:3] == ["4", "3", "1"]
    assert values[3].startswith("0, ")  # of the gaps only the one after the kill counts
    assert values[3].endswith(", 200 (of 4)")
    assert values[4].endswith("(of 2)")
    assert values[5:] == ["1, 0", "1 × SpeechError: it is gone"]


def test_a_speed_is_of_what_came_while_it_was_measured() -> None:
    found = Found(
        [sentence("a", 11.0, gaps=[(12.0, 0.03)])], [(9.9, WHOLE), (10.1, WHOLE), (14.9, WHOLE), (15.1, WHOLE)]
    )
    speed, cells = row(2, 1, 0.8, [found], 10.0, 15.0, [[0.2, 0.9], [0.3, 0.8]])
    assert speed == pytest.approx(2 * WHOLE / 24_000 / 5)
    assert cells[3:] == ("2.00", "50.0", "50.0", "1", "1 of 2", "30", "0", "20% + 30%", "90% + 80%")
