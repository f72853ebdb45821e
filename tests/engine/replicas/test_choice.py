"""Which replica a call goes to, and when one is taken for dead."""

from __future__ import annotations

from random import Random

import pytest

from engine.replicas.address import Address, read_addresses
from engine.replicas.choice import Candidate, better_of_two
from engine.replicas.heartbeat import MISSED, Heartbeat

CHANCE = Random(7)


def candidate(key, sentences=0, places=100, slack_s=0.8):
    return Candidate(key, sentences, places, slack_s)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (candidate("few", sentences=10), candidate("many", sentences=90)),
        (candidate("large", sentences=50, places=200), candidate("small", sentences=20)),
        (candidate("idle", slack_s=None), candidate("busy", sentences=1)),
        (candidate("ahead", slack_s=0.8), candidate("less ahead", slack_s=0.3)),
        (candidate("with places", sentences=99), candidate("full", sentences=5, places=5)),
        (candidate("keeps up", sentences=90, slack_s=0.4), candidate("behind", slack_s=0.02)),
        (candidate("fewer", sentences=2, places=None), candidate("more", sentences=3, places=None)),
    ],
)
def test_the_one_with_more_room_is_the_better_one(better, worse):
    assert better_of_two([better, worse], CHANCE) == better
    assert better_of_two([worse, better], CHANCE) == better


def test_one_is_taken_where_there_is_one_and_none_where_there_is_none():
    assert better_of_two([candidate("lone", sentences=100)], CHANCE).key == "lone"
    assert better_of_two([], CHANCE) is None


def test_calls_of_bridges_that_know_the_same_are_spread():
    """All of them taking the best would put all calls of a tenth of a second on one replica."""
    candidates = [candidate(number, sentences=number) for number in range(10)]
    taken = [better_of_two(candidates, CHANCE).key for _ in range(2_000)]
    counts = [taken.count(number) for number in range(10)]
    assert max(counts) < 2_000 * 0.3
    assert counts[9] == 0, "the worst one is never the better of two"


def test_a_replica_is_dead_once_nothing_has_come_for_several_looks():
    heartbeat = Heartbeat()
    assert not any(heartbeat.stopped(read) for read in range(1, 20))
    assert [heartbeat.stopped(19) for _ in range(MISSED)] == [False] * (MISSED - 1) + [True]


def test_a_bridge_that_was_held_up_itself_takes_no_replica_for_dead():
    """It looks late, but what has come meanwhile is read before it looks again."""
    heartbeat = Heartbeat()
    assert not heartbeat.stopped(1)
    assert not heartbeat.stopped(1), "however long ago the last look was"
    assert not heartbeat.stopped(2)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7070", Address("127.0.0.1", 7070, tls=False)),
        ("localhost:1", Address("localhost", 1, tls=False)),
        ("[::1]:7070", Address("::1", 7070, tls=False)),
        ("tls://localhost:7070", Address("localhost", 7070, tls=True)),
        ("voice-1.example:7070", Address("voice-1.example", 7070, tls=True)),
        ("10.0.0.7:7070", Address("10.0.0.7", 7070, tls=True)),
    ],
)
def test_an_address_tells_whether_it_is_reached_over_tls(text, address):
    assert Address.read(text) == address
    assert str(address) == text.removeprefix("tls://")


@pytest.mark.parametrize(
    "text",
    [
        *("a", "a:", ":7070", "a:x", "a:70700", "http://a:7070", "tcp://a:1/path", "user:hush@a:7070", "a:1,a:1"),
        *("a..b:7070", f"{'a' * 64}:7070"),
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match=r".") as caught:
        read_addresses(text)
    assert not isinstance(caught.value, UnicodeError), "which says nothing of addresses"
