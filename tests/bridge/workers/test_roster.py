"""Which worker gets a call."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

import pytest

import bridge.workers.roster as roster_module
from bridge.line.connection import CallRefused
from bridge.workers.roster import Roster

MAX_CALLS = 20


@dataclass(eq=False)
class Seat:
    load: int = 0
    draining: bool = False
    overloaded: bool = False


def roster_of(*loads):
    roster = Roster(MAX_CALLS)
    seats = [Seat(load) for load in loads]
    for seat in seats:
        roster.add(seat)
    return roster, seats


def test_a_call_goes_where_most_room_is():
    roster, (_, second, _) = roster_of(3, 1, 2)
    assert roster.place(uuid4()) is second


def test_a_call_goes_where_it_was_announced_however_full_and_though_it_drains():
    roster, (first, _) = roster_of(9, 0)
    call_id = uuid4()
    roster.learn(call_id, first)
    first.draining = True
    assert roster.place(call_id) is first


def test_a_worker_that_drains_gets_nothing_new():
    roster, (first, second) = roster_of(0, 5)
    first.draining = True
    assert roster.place(uuid4()) is second
    second.draining = True
    assert roster.place(uuid4()) is None


def test_a_worker_whose_frames_are_late_gets_nothing_while_another_has_room():
    roster, (first, second) = roster_of(0, 5)
    first.overloaded = True
    assert roster.place(uuid4()) is second
    roster.check_room(uuid4())
    second.overloaded = True
    with pytest.raises(CallRefused, match="frames are late"):
        roster.check_room(uuid4())
    assert roster.place(uuid4()) is first, "it refuses the call itself, and counts it"


def test_where_a_call_went_is_known_until_its_worker_is_gone():
    roster, (first, second) = roster_of(0, 1)
    call_id = uuid4()
    assert roster.place(call_id) is roster.of(call_id) is first
    roster.remove(first)
    assert roster.of(call_id) is None
    assert roster.place(call_id) is second


def test_the_others_calls_are_counted_for_each():
    roster, (first, second, third) = roster_of(1, 2, 4)
    assert [roster.elsewhere(seat) for seat in (first, second, third)] == [6, 5, 3]


def test_a_call_for_which_there_is_no_room_anywhere_is_refused():
    roster, (first, second) = roster_of(MAX_CALLS - 1, 0)
    roster.check_room(uuid4())
    second.load = 1
    with pytest.raises(CallRefused, match=f"MAX_CALLS={MAX_CALLS}"):
        roster.check_room(uuid4())
    announced = uuid4()
    roster.learn(announced, first)
    roster.check_room(announced)  # its place may be kept
    first.load = 0
    first.draining = second.draining = True
    with pytest.raises(CallRefused, match="no worker is ready"):
        roster.check_room(uuid4())


def test_the_oldest_calls_are_forgotten(monkeypatch):
    monkeypatch.setattr(roster_module, "KNOWN", 2)
    roster, _ = roster_of(0)
    calls = [uuid4() for _ in range(3)]
    for call_id in calls:
        roster.place(call_id)
    assert [roster.of(call_id) is not None for call_id in calls] == [False, True, True]


def test_strangers_push_out_no_call_that_was_announced(monkeypatch):
    monkeypatch.setattr(roster_module, "KNOWN", 2)
    roster, (first, second) = roster_of(1, 0)
    announced = uuid4()
    roster.learn(announced, first)
    for _ in range(3):
        assert roster.place(uuid4()) is second
    assert roster.of(announced) is roster.place(announced) is first
    roster.remove(first)
    assert roster.of(announced) is None


def test_a_call_that_is_asked_about_is_not_the_oldest(monkeypatch):
    monkeypatch.setattr(roster_module, "KNOWN", 2)
    roster, (seat,) = roster_of(0)
    asked_about, other = uuid4(), uuid4()
    for call_id in (asked_about, other):
        roster.place(call_id)
    assert roster.of(asked_about) is seat
    roster.place(uuid4())
    assert roster.of(other) is None
    assert roster.of(asked_about) is seat


def test_a_call_is_here_once_it_has_connected_and_not_where_it_was_only_announced():
    roster, (first, _) = roster_of(0, 0)
    announced, stranger, inherited = (uuid4() for _ in range(3))
    roster.learn(announced, first)
    assert (roster.has(announced), roster.of(announced)) == (False, first)
    roster.place(announced)
    roster.place(stranger)
    roster.inherit(inherited, first)
    assert [roster.has(each) for each in (announced, stranger, inherited, uuid4())] == [True, True, True, False]
    assert roster.was_announced(announced)
    roster.remove(first)
    assert not roster.has(announced)
