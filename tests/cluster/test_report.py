"""What the benchmark of the cluster reports, where a wrong report would pass for a measurement."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import cluster
from tests.cluster.faults import fault
from tests.cluster.trial import Seen

KILLED = fault("replica killed")
BRIDGE_KILLED = fault("bridge killed")


def test_rounds_are_added_up_and_the_spread_is_that_of_their_p99() -> None:
    first = Seen(calls=2, words=48, silences_s=[0.0, 0.1], waits_s=[0.5], newcomers=8)
    second = Seen(calls=2, words=48, words_lost=1, silences_s=[0.0, 0.2], newcomers=8, refused=3, refused_until_s=1.5)
    row = dict(zip(cluster.HEAD, cluster.row(KILLED, [first, second]), strict=True))
    assert (row["calls"], row["words lost"], row["words twice"]) == ("4", "1 of 96", "0")
    assert row["silence in a page, ms"] == "50, 197 (99–198)"
    assert (row["a page begins after, ms"], row["spoken to again after, s"]) == ("500, 500 (500–500)", "–")
    assert row["new calls refused"] == "3 of 16, for 1.5 s"


@pytest.mark.parametrize(
    "seen",
    [
        Seen(lost=1, silences_s=[0.0]),
        Seen(words_lost=1, silences_s=[0.0]),
        Seen(words_twice=1, silences_s=[0.0]),
        Seen(cut=1, silences_s=[0.0]),
        Seen(silences_s=[0.0, 0.4]),
        Seen(),
    ],
    ids=["a call lost", "a word lost", "a word twice", "a call cut off", "too long a silence", "nothing measured"],
)
def test_a_goal_that_is_missed_is_told(seen: Seen) -> None:
    assert cluster.missed({KILLED: [Seen(silences_s=[0.1])]}) == []
    (told,) = cluster.missed({KILLED: [seen]})
    assert told.startswith("replica killed: ")


def test_calls_that_go_on_too_late_are_told() -> None:
    assert cluster.missed({BRIDGE_KILLED: [Seen(cut=2, resumed_s=[0.5, 1.9])]}) == []
    assert cluster.missed({BRIDGE_KILLED: [Seen(resumed_s=[0.5, 2.1])]}) != []
    assert cluster.missed({BRIDGE_KILLED: [Seen()]}) != [], "no call was cut off: the bridge carried none"


def test_the_table_is_written_between_the_markers_of_a_page(tmp_path: Path) -> None:
    page, args = tmp_path / "page.md", Namespace(calls=6, rounds=1)
    machine = {"date": "today", "commit": "abc", "processor": "2 cores", "load before": "0.1 (1 minute)"}
    machine["load after"] = "2.5 (1 minute)"
    page.write_text(f"before\n{cluster.BEGIN}old\n{cluster.END}\nafter\n")
    cluster.write(page, "| new |", machine, args)
    text = page.read_text()
    assert text.startswith(f"before\n{cluster.BEGIN}today, commit abc")
    assert text.endswith(f"| new |\n{cluster.END}\nafter\n")
    assert "old" not in text
    page.write_text("nothing")
    with pytest.raises(ValueError, match="no <!-- cluster -->"):
        cluster.write(page, "| new |", machine, args)
