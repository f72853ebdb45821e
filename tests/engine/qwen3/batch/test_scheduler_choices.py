"""What the scheduler chooses in one moment, to the frame: who goes first and who along, and how much sound is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.qwen3.batch.scheduler import (
    BULK_LOAD,
    FULL_LOAD,
    RUSH_S,
    RUSH_SENTENCES,
    SOUND_S,
    Chunks,
    Costs,
    Scheduler,
)
from engine.qwen3.batch.sentence import FRAME_S, PATIENCE_S, Sentence
from engine.qwen3.messages import Speak
from engine.speech import Priority

# The costs of an H200, rounded.
FAST = Costs(((1, 0.002), (8, 0.0042), (64, 0.0048), (256, 0.007), (512, 0.0102), (1024, 0.0169)), 20e-6)
SLOW = Costs(((1, 0.018), (2, 0.019), (4, 0.021), (8, 0.026), (16, 0.038)), 2e-3)
AT_EASE_S = 0.5
"""A moment at which nobody of those in play is in need."""


def sentence(priority: int = Priority.CALL, arrived_s: float = 0.0, **state: Any) -> Sentence:
    return Sentence(Speak(0, "", "", priority=priority), arrived_s=arrived_s, **state)


def in_play(sounded: int, waiting: int = 0, **state: Any) -> Sentence:
    """A call whose playback has begun at 0; what has been sounded lasts until `sounded * FRAME_S`."""
    state = {"chunks": 4, "begun_s": 0.0} | state
    return sentence(made=sounded + waiting, sounded=sounded, **state)


def scheduler_of(costs: Costs, *sentences: Sentence, lead_s: float = 0.0) -> Scheduler:
    scheduler = Scheduler(costs, 1024, lead_s)
    for each in sentences:
        scheduler.add(each)
    return scheduler


# What the GPU can do -------------------------------------------------------------------------------------------------


def test_a_frame_costs_what_the_next_larger_bucket_costs() -> None:
    rows = (1, 2, 8, 9, 1024, 5000)
    assert [FAST.frame(each) for each in rows] == [0.002, 0.0042, 0.0042, 0.0048, 0.0169, 0.0169]


def test_load_and_rate_count_frames_and_their_sound() -> None:
    step_s = 0.0042 + 8 * 20e-6
    assert FAST.load(0) == 0.0
    assert FAST.load(8) == pytest.approx(step_s / FRAME_S)
    assert FAST.rate(8) == pytest.approx(8 / step_s)


@pytest.mark.parametrize("lost", [lambda load: 0.0, lambda load: 0.1, lambda load: 0.5 * load])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.85, SLOW.load(5)])
@pytest.mark.parametrize("costs", [FAST, SLOW])
def test_the_capacity_is_the_most_calls_that_fit(costs: Costs, share: float, lost: Callable[[float], float]) -> None:
    fit = [calls for calls in range(1, 1025) if costs.load(calls) + lost(costs.load(calls)) <= share]
    largest = costs.frame_s[-1][0]
    assert costs.capacity(share, lost) == min(max(fit, default=1), largest)


def test_a_gpu_that_is_too_slow_for_anybody_takes_one() -> None:
    scheduler = Scheduler(Costs(((1, 1.0),), 1e-3), 4)
    assert (scheduler.capacity, scheduler.http_capacity) == (1, 1)


def test_places_load_and_neighbours_bound_what_is_admitted() -> None:
    few, many = Scheduler(SLOW, 3), Scheduler(SLOW, 16)
    assert (few.capacity, few.http_capacity) == (3, 3)
    assert (many.capacity, many.http_capacity) == (SLOW.capacity(FULL_LOAD), SLOW.capacity(BULK_LOAD))
    assert many.http_capacity < many.capacity
    for scheduler in (few, many):
        scheduler.worked(0.0, 2.0, 0.5)  # in the last 4 s others have taken the GPU for 1.4 s
    assert (few.capacity, few.http_capacity) == (3, 3)
    assert (many.capacity, many.http_capacity) == (6, 3)
    many.worked(0.1, 3.0, 0.1)
    assert (many.capacity, many.http_capacity) == (1, 1)


# Whose frames are made -----------------------------------------------------------------------------------------------


def test_nobody_gets_a_frame_beyond_the_lead_that_is_enough() -> None:
    enough, almost = in_play(50), in_play(49)
    assert scheduler_of(FAST, enough, almost).frames(0.0) == [almost]


def test_of_more_than_fit_into_a_batch_those_go_who_run_out_first() -> None:
    costs = Costs(((1, 0.005), (2, 0.006), (4, 0.007)), 1e-4)
    calls = [in_play(frames) for frames in (16, 12, 14, 11, 13, 15)]
    assert [each.made for each in scheduler_of(costs, *calls).frames(AT_EASE_S)] == [11, 12, 13, 14]


def test_the_order_is_waiting_calls_dry_ones_the_impatient_fed_ones_and_bulk_last() -> None:
    now_s = 2.0
    waiting, dry, fed = sentence(arrived_s=1.9, made=1), in_play(10), in_play(30)
    impatient, http, bulk = (
        sentence(priority, made=20, sounded=12, begun_s=0.0)
        for priority in (Priority.HTTP, Priority.HTTP, Priority.BULK)
    )
    scheduler = scheduler_of(FAST, bulk, http, fed, impatient, dry, waiting)
    impatient.last_s, http.last_s, bulk.last_s = now_s - PATIENCE_S - 0.1, now_s - 0.5, now_s - 0.5
    assert scheduler.frames(now_s) == [waiting, dry, impatient, fed, http, bulk]


def test_a_new_call_goes_alone_where_the_gpu_is_quick_and_new_replies_over_http_wait_for_it() -> None:
    costs = Costs(((1, 0.001), (2, 0.0011), (8, 0.0015), (64, 0.003)), 1e-6)
    replies = [sentence(Priority.HTTP) for _ in range(7)]
    assert scheduler_of(costs, *replies).frames(0.0) == replies
    call = sentence()
    assert scheduler_of(costs, *replies, call).frames(0.0) == [call]


def test_a_new_call_is_first_on_a_gpu_that_keeps_nobody_fed() -> None:
    costs = Costs(((1, 0.05), (2, 0.09), (4, 0.17)), 1e-3)
    new = sentence(arrived_s=AT_EASE_S)
    chosen = scheduler_of(costs, *(in_play(40) for _ in range(6)), new).frames(AT_EASE_S)
    assert chosen[0] is new
    assert len(chosen) == 4, "no batch is large enough, so the largest one"


def test_whoever_would_run_out_before_the_step_after_next_goes_along_with_a_new_call() -> None:
    """A chunk's way, two steps, a frame and the margin: 10 + 2 * 10 + 80 + 40 ms."""
    costs = Costs(((1, 0.01), (8, 0.01)), 1e-4)
    for left_s, goes_along in ((0.14, True), (0.155, False)):
        now_s = 10 * FRAME_S - left_s
        short, new = in_play(10), sentence(arrived_s=now_s)
        assert scheduler_of(costs, short, new).frames(now_s) == [new, short][: 1 + goes_along]


def test_a_replys_next_sentence_is_new_half_a_lead_before_it_is_needed() -> None:
    def chosen(now_s: float) -> list[str]:
        playing = in_play(36)
        following = Sentence(Speak(0, "", ""), needed_at_s=3.0, arrived_s=1.0)
        names = {playing: "playing", following: "following"}
        return [names[each] for each in scheduler_of(FAST, playing, following, lead_s=1.0).frames(now_s)]

    assert chosen(2.4) == ["playing", "following"]
    assert chosen(2.5) == ["following"], "a smaller batch is a quicker one"
    assert chosen(2.6) == ["following"]


def test_a_lead_outlasts_a_slow_step_and_a_chunk() -> None:
    def makes(left_s: float, *, slow: bool) -> bool:
        scheduler = scheduler_of(FAST, in_play(20), lead_s=0.8)
        if slow:
            scheduler.took(0.5)
        return bool(scheduler.frames(20 * FRAME_S - left_s))

    assert not makes(1.0, slow=False)
    assert makes(1.0, slow=True)
    assert not makes(1.3, slow=True)


# Whose sound is made -------------------------------------------------------------------------------------------------

EXACT = Costs(FAST.frame_s, SOUND_S / 64)
"""A step has time for 64 frames of sound, and for 16 while somebody waits for a first one."""


def test_a_step_makes_as_much_sound_as_it_has_time_for() -> None:
    calls = [in_play(40, waiting=8) for _ in range(20)]
    assert scheduler_of(EXACT, *calls).sounds(AT_EASE_S) == [Chunks(8, tuple(calls[:8]))]


def test_a_step_with_a_first_sound_makes_little_else() -> None:
    calls, new = [in_play(40, waiting=8) for _ in range(20)], sentence(arrived_s=AT_EASE_S, made=1)
    chunks = scheduler_of(EXACT, *calls, new).sounds(AT_EASE_S)
    assert chunks == [Chunks(1, (new,)), Chunks(8, (calls[0],))]


def test_a_step_makes_what_keeps_up_with_the_playback_however_long_that_takes() -> None:
    """14 calls on a small GPU: 15 frames of sound a step are as fast as they are played."""
    calls = [in_play(40, waiting=4, chunks=2) for _ in range(14)]
    assert scheduler_of(SLOW, *calls).sounds(AT_EASE_S) == [Chunks(4, tuple(calls[:3]))]


def test_a_gpu_that_cannot_keep_up_makes_all_the_sound_there_is() -> None:
    calls = [in_play(40, waiting=8) for _ in range(14)]
    hopeless = Costs(((1, 0.01), (16, 0.02)), 0.02)
    assert scheduler_of(hopeless, *calls).sounds(AT_EASE_S) == [Chunks(8, tuple(calls))]


def test_a_whole_chunk_is_made_however_slow_the_gpu() -> None:
    call = in_play(40, waiting=8)
    assert scheduler_of(SLOW, call).sounds(AT_EASE_S) == [Chunks(8, (call,))]


def test_all_who_would_run_dry_get_something_before_any_gets_much() -> None:
    """A step of a small GPU has time for 8 frames of sound."""
    now_s = 10 * FRAME_S - 0.03
    six = [in_play(10, waiting=8) for _ in range(6)]
    assert scheduler_of(SLOW, *six).sounds(now_s) == [Chunks(2, tuple(six[:2])), Chunks(1, tuple(six[2:]))]
    three = [in_play(10, waiting=8) for _ in range(3)]
    assert scheduler_of(SLOW, *three).sounds(now_s) == [Chunks(4, (three[0],)), Chunks(2, tuple(three[1:]))]


def test_sound_is_made_for_new_calls_then_for_those_about_to_run_dry() -> None:
    now_s = 10 * FRAME_S - 0.03
    fed, dry = (in_play(sounded, waiting=1, finished=True) for sounded in (40, 10))
    new = sentence(arrived_s=AT_EASE_S, made=1, finished=True)
    assert scheduler_of(FAST, fed, dry, new).sounds(now_s) == [Chunks(1, (new, dry, fed))]


def test_a_chunk_that_goes_out_early_has_a_size_of_the_ramp() -> None:
    call = in_play(10, waiting=3)
    assert scheduler_of(FAST, call).sounds(10 * FRAME_S - 0.03) == [Chunks(2, (call,))]


@pytest.mark.parametrize(
    ("left_s", "waiting", "lead_s", "goes"),
    [
        (0.3, 4, 0.8, True),
        (0.3, 3, 0.8, False),
        (0.5, 4, 0.8, False),
        (0.3, 4, 0.0, False),
    ],
)
def test_half_a_chunk_goes_out_once_half_the_lead_is_used_up(
    left_s: float, waiting: int, lead_s: float, goes: bool
) -> None:
    call = in_play(10, waiting=waiting)
    scheduler = scheduler_of(FAST, call, lead_s=lead_s)
    assert scheduler.sounds(10 * FRAME_S - left_s) == [Chunks(4, (call,))] * goes


def test_how_early_sound_goes_out_follows_the_slowest_step_at_once_and_quick_ones_slowly() -> None:
    def goes(left_s: float, *took_s: float) -> bool:
        scheduler = scheduler_of(FAST, in_play(10, waiting=2))
        for seconds in took_s:
            scheduler.took(seconds)
        return bool(scheduler.sounds(10 * FRAME_S - left_s))

    assert [goes(0.047), goes(0.045)] == [False, True], "2 + 2 * 2 + 40 ms"
    assert [goes(0.545, 0.5), goes(0.543, 0.5)] == [False, True]
    assert [goes(0.535, 0.5, 0.0), goes(0.533, 0.5, 0.0)] == [False, True], "a quick step takes 2 % off"


@pytest.mark.parametrize(("frame_s", "frames"), [(0.015, 1), (0.031, 2)])
def test_on_a_busy_gpu_a_first_sound_has_two_frames(frame_s: float, frames: int) -> None:
    call = sentence()
    scheduler = scheduler_of(Costs(((1, frame_s),), 1e-3), call)
    scheduler.made([call], 0.0)
    assert scheduler.sounds(0.0) == [Chunks(1, (call,))] * (frames == 1)
    scheduler.made([call], 0.0)
    assert scheduler.sounds(0.0) == [Chunks(2, (call,))]


def test_a_rush_is_over_when_its_first_calls_came_longer_ago() -> None:
    calls = [sentence(made=1) for _ in range(RUSH_SENTENCES)]
    scheduler = scheduler_of(FAST, *calls)
    assert scheduler.sounds(RUSH_S) == []
    assert scheduler.sounds(RUSH_S + 1e-6) == [Chunks(1, tuple(calls))]


def test_playback_begins_with_the_first_sound() -> None:
    call = sentence()
    scheduler = scheduler_of(FAST, call)
    scheduler.delivered(call, 1.0)
    scheduler.delivered(call, 2.0)
    assert call.begun_s == 1.0


def test_a_sentence_runs_out_when_what_was_not_heard_before_has_been_played() -> None:
    assert sentence(arrived_s=2.0).runs_out_s(5) == 2.0 - PATIENCE_S, "it waits for its first sound"
    assert sentence().runs_out_s(5) == -PATIENCE_S
    again = Sentence(Speak(0, "", "", heard_s=0.16), begun_s=0.5)
    assert again.runs_out_s(5) == pytest.approx(0.5 + 3 * FRAME_S)
    later = Sentence(Speak(0, "", ""), begins_s=3.0, begun_s=0.5, arrived_s=0.0)
    assert later.runs_out_s(5) == pytest.approx(3.0 + 5 * FRAME_S)
