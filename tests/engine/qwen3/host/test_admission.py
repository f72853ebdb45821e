"""Who is refused at once when there is more to do than can be done, on a clock of the test's own."""

from __future__ import annotations

import heapq
import random

import pytest

from engine.qwen3.host.admission import LAG_KNOWN_S, LAG_S, Admission
from engine.speech import EngineBusy

PLACES = 100
SENTENCE_S = 0.5
"""How long a sentence holds its place."""
MAX_WAIT_S = 0.5


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def admission(clock: Clock) -> Admission:
    made = Admission(PLACES, lambda _: None, MAX_WAIT_S, clock)
    made.capacity = made.http_capacity = PLACES
    return made


def offered(rate: float, seconds: float) -> tuple[list[float], list[float]]:
    """Offers so many sentences a second, at random, to an engine with PLACES places that are each held SENTENCE_S.

    Returns the waits of those that were taken, and when the others were refused.
    """
    clock, dice = Clock(), random.Random(4)
    begun_s = clock.now_s
    one = admission(clock)
    free = [begun_s] * PLACES
    ending: list[float] = []
    waits, refused = [], []
    while clock.now_s < begun_s + seconds:
        came_s = clock.now_s + dice.expovariate(rate)
        while ending and ending[0] <= came_s:
            clock.now_s = heapq.heappop(ending)
            one.end(live=False)
        clock.now_s = came_s
        try:
            one.check_begin()
        except EngineBusy:
            refused.append(came_s - begun_s)
            continue
        one.begin(live=False)
        place_s = max(came_s, heapq.heappop(free))
        heapq.heappush(free, place_s + SENTENCE_S)
        heapq.heappush(ending, place_s + SENTENCE_S)
        waits.append(place_s - came_s)
    return waits, refused


def test_nobody_is_refused_while_there_is_room() -> None:
    waits, refused = offered(rate=0.7 * PLACES / SENTENCE_S, seconds=20)
    assert not refused
    assert max(waits) < 0.05


@pytest.mark.parametrize("overload", [1.5, 3, 10])
def test_in_an_overload_those_that_are_taken_wait_no_longer_than_promised(overload: float) -> None:
    waits, refused = offered(rate=overload * PLACES / SENTENCE_S, seconds=20)
    # The first moments tell nothing of how long a wait will be.
    settled = waits[int(len(waits) * 0.1) :]
    assert max(settled) < 1.3 * MAX_WAIT_S
    assert len(waits) > 0.95 * 20 * PLACES / SENTENCE_S, "what can be made is made"
    assert refused[0] < 2 * SENTENCE_S / (overload - 1) + MAX_WAIT_S


def test_the_room_kept_for_calls_is_no_room_for_others() -> None:
    clock = Clock()
    one = admission(clock)
    one.http_capacity = 70
    for _ in range(70):
        one.begin(live=True)
    clock.now_s += 2
    with pytest.raises(EngineBusy):
        one.check_begin()
    one.check(live=True)
    assert one.refused == 1


def test_sound_that_lies_long_on_its_way_is_a_reason_to_refuse_until_it_no_longer_does() -> None:
    clock = Clock()
    one = admission(clock)
    one.heard(clock.now_s - LAG_S / 2)
    one.check_begin()
    one.heard(clock.now_s - LAG_S * 2)
    one.heard(clock.now_s - LAG_S / 2)
    with pytest.raises(EngineBusy, match="50 ms behind"):
        one.check_begin()
    one.check(live=True)
    clock.now_s += LAG_KNOWN_S + 0.01
    one.check_begin()
