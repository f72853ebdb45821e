"""When a service is late, and when both sides have been silent for too long."""

from __future__ import annotations

import math

from bridge.conversation.realtime.answer_watch import AnswerWatch


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_an_answer_is_late_before_it_begins_and_in_its_middle() -> None:
    clock = Clock()
    watch = AnswerWatch(8.0, 0.0, clock)
    assert watch.due_s() == math.inf
    watch.expect()
    assert watch.due_s() == 108.0
    watch.going_on()
    clock.now_s = 107.0
    watch.going_on()
    clock.now_s = 114.9
    assert not watch.is_late
    clock.now_s = 115.0
    assert watch.is_late
    watch.answered()
    assert not watch.is_late


def test_a_late_end_of_an_old_answer_does_not_end_the_wait_for_the_new_one() -> None:
    clock = Clock()
    watch = AnswerWatch(8.0, 0.0, clock)
    watch.going_on()
    watch.caller_speaks()
    watch.expect()
    watch.answered()
    clock.now_s = 108.0
    assert watch.is_late


def test_a_silence_is_told_once_and_not_while_somebody_speaks_or_should() -> None:
    clock = Clock()
    watch = AnswerWatch(8.0, 10.0, clock)
    watch.quiet()
    assert watch.due_s() == 110.0
    clock.now_s = 110.0
    assert watch.was_quiet()
    assert not watch.was_quiet()
    for happens in (watch.expect, watch.caller_speaks, watch.somebody_speaks):
        watch.quiet()
        happens()
        clock.now_s += 20.0
        assert not watch.was_quiet()
