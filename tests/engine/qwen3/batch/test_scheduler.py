"""The scheduler on a simulated GPU: no deadline missed within capacity, none starved, every order kept."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.qwen3.batch import scheduler as scheduler_module
from engine.qwen3.batch.scheduler import (
    MAX_LEAD_S,
    MAX_WAITING,
    RUSH_REPLIES,
    RUSH_S,
    RUSH_SENTENCES,
    Chunks,
    Costs,
    Scheduler,
)
from engine.qwen3.batch.sentence import CHUNK_RAMP, FRAME_S, PATIENCE_S, Sentence
from engine.qwen3.messages import Speak
from engine.speech import Priority

ROUNDING_S = 1e-9
PIECE_FRAMES = 2
LEAD_S = 0.8
"""SPEECH_LEAD_MS, by default."""
# The costs of an H200, rounded.
FAST = Costs(((1, 0.002), (8, 0.0042), (64, 0.0048), (256, 0.007), (512, 0.0102), (1024, 0.0169)), 20e-6)
# A small GPU's: 14 calls are all it can do.
SLOW = Costs(((1, 0.018), (2, 0.019), (4, 0.021), (8, 0.026), (16, 0.038)), 2e-3)


def a_sentence(priority: int, arrived_s: float, **state: Any) -> Sentence:
    return Sentence(Speak(0, "", "", priority=priority), arrived_s=arrived_s, **state)


@dataclass(eq=False)
class Caller:
    """One sentence that is asked for, and what became of it."""

    at_s: float
    frames: int
    priority: int = Priority.CALL
    hangs_up_after_s: float | None = None
    sentence: Sentence | None = None
    refused: bool = False
    first_sound_s: float | None = None
    late_s: float = 0.0
    longest_wait_s: float = 0.0
    got: list[int] = field(default_factory=list)
    pieces: list[tuple[float, int]] = field(default_factory=list)
    """160 ms of sound each: when it was made, from which frame on."""


class Gpu:
    """Does what the scheduler says and takes as long as the costs say, one thing after the other."""

    def __init__(
        self,
        costs: Costs,
        callers: list[Caller],
        slots: int = 1024,
        lead_s: float = 0.0,
        stall_s: float = 0.0,
        stall_every_s: float = 2.0,
    ) -> None:
        self.costs = costs
        self.scheduler = Scheduler(costs, slots, lead_s)
        self.stall_s, self.stall_every_s = stall_s, stall_every_s
        self.stalls = 0
        """How often somebody else has stopped the GPU."""
        self.coming = sorted(callers, key=lambda c: c.at_s)
        self.here: dict[Sentence, Caller] = {}
        self.now_s = 0.0
        self.most = 0
        self.steps: list[list[Sentence]] = []

    def run(self) -> None:
        while self.coming or self.here:
            self._come_and_go()
            if self.stall_s and self.now_s // self.stall_every_s > self.stalls:
                self.stalls += 1
                self.now_s += self.stall_s
            if not self._step():
                self._idle()

    def _come_and_go(self) -> None:
        while self.coming and self.coming[0].at_s <= self.now_s:
            caller = self.coming.pop(0)
            caller.refused = not self.scheduler.admits(caller.priority)
            if not caller.refused:
                caller.sentence = a_sentence(caller.priority, caller.at_s)
                self.scheduler.add(caller.sentence)
                self.here[caller.sentence] = caller
        self.most = max(self.most, len(self.here))
        for sentence, caller in list(self.here.items()):
            patience = caller.hangs_up_after_s
            if patience is not None and self.now_s >= caller.at_s + patience:
                self._leave(sentence)

    def _leave(self, sentence: Sentence) -> None:
        self.scheduler.remove(sentence)
        del self.here[sentence]

    def _step(self) -> bool:
        sentences = self.scheduler.frames(self.now_s)
        self.steps.append(sentences)
        if sentences:
            for sentence in sentences:
                waited_s = self.now_s - sentence.last_s
                self.here[sentence].longest_wait_s = max(self.here[sentence].longest_wait_s, waited_s)
            self.now_s += self.costs.frame(len(sentences))
            self.scheduler.made(sentences, self.now_s)
            for sentence in sentences:
                sentence.finished = sentence.made >= self.here[sentence].frames
        chunks, decided_s = self.scheduler.sounds(self.now_s), self.now_s
        for chunk in chunks:
            before = [sentence.sounded for sentence in chunk.sentences]
            self.now_s += chunk.frames * len(chunk.sentences) * self.costs.sound_s
            self.scheduler.sounded(chunk.sentences, chunk.frames)
            self.scheduler.took(self.now_s - decided_s)
            for sentence, start in zip(chunk.sentences, before, strict=True):
                self._deliver(sentence, start, sentence.sounded - start)
        return bool(sentences or chunks)

    def _deliver(self, sentence: Sentence, start: int, frames: int) -> None:
        caller = self.here[sentence]
        if sentence.begun_s is None:
            caller.first_sound_s = self.now_s - caller.at_s
        else:
            caller.late_s = max(caller.late_s, self.now_s - sentence.runs_out_s(start))
        caller.got += range(start, start + frames)
        caller.pieces += [(self.now_s, frame) for frame in range(start, start + frames, PIECE_FRAMES)]
        self.scheduler.delivered(sentence, self.now_s)
        if sentence.finished and not sentence.waiting:
            self._leave(sentence)

    def _idle(self) -> None:
        """Rests until the next arrival, or until some sentence's lead is used up."""
        times = [self.now_s + FRAME_S / 4]
        if self.coming:
            times.append(max(self.coming[0].at_s, self.now_s + 1e-6))
        self.now_s = min(times) if self.here else times[-1]


callers = st.lists(
    st.builds(
        Caller,
        at_s=st.just(0.0) | st.floats(0, 0.1) | st.floats(0, 6),
        frames=st.integers(1, 90),
        priority=st.sampled_from([Priority.CALL, Priority.CALL, Priority.HTTP, Priority.BULK]),
        hangs_up_after_s=st.none() | st.floats(0.01, 4),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(callers, st.sampled_from([0.0, LEAD_S]))
def test_whoever_is_admitted_hears_no_gap_and_in_order(asked: list[Caller], lead_s: float) -> None:
    gpu = Gpu(SLOW, asked, lead_s=lead_s)
    gpu.run()
    assert gpu.most <= gpu.scheduler.capacity
    for caller in asked:
        assert caller.got == list(range(len(caller.got)))
        if caller.refused or caller.sentence is None:
            continue
        if caller.hangs_up_after_s is None:
            assert len(caller.got) == caller.frames
        if caller.priority == Priority.CALL:
            assert caller.late_s <= ROUNDING_S


@pytest.mark.parametrize("lead_s", [0.0, LEAD_S])
def test_bursts_at_full_capacity_leave_no_gap(lead_s: float) -> None:
    full = 0
    for seed in range(60):
        pick = random.Random(seed)
        spread_s = pick.choice([0, 0.02, 0.1, 0.5, 3])
        asked = [
            Caller(
                at_s=pick.uniform(0, spread_s),
                frames=pick.randint(1, 90),
                priority=pick.choice([Priority.CALL, Priority.CALL, Priority.CALL, Priority.HTTP, Priority.BULK]),
                hangs_up_after_s=None if pick.random() < 0.8 else pick.uniform(0.01, 4),
            )
            for _ in range(pick.randint(15, 60))
        ]
        gpu = Gpu(SLOW, asked, lead_s=lead_s)
        gpu.run()
        full += gpu.most == gpu.scheduler.capacity
        assert max(c.late_s for c in asked if c.priority == Priority.CALL) <= ROUNDING_S
    assert full > 30  # or it says nothing


@settings(max_examples=40, deadline=None)
@given(callers)
def test_nobody_waits_longer_than_patience_and_a_few_steps(asked: list[Caller]) -> None:
    gpu = Gpu(SLOW, asked)
    gpu.run()
    step_s = SLOW.frame(16) + 16 * 8 * SLOW.sound_s
    for caller in asked:
        # One that is ahead of its playback waits until it is less so.
        if caller.frames * FRAME_S < MAX_LEAD_S:
            assert caller.longest_wait_s <= PATIENCE_S + 4 * step_s


@pytest.mark.parametrize("lead_s", [0.0, LEAD_S])
def test_a_thousand_calls_that_come_within_seconds_never_stutter(lead_s: float) -> None:
    asked = [Caller(at_s=4 * (i * 0.6180339887 % 1), frames=60 + i % 60) for i in range(1000)]
    gpu = Gpu(FAST, asked, lead_s=lead_s)
    gpu.run()
    assert not any(c.refused for c in asked)
    assert max(c.late_s for c in asked) <= 0
    first = sorted(c.first_sound_s for c in asked if c.first_sound_s is not None)
    assert first[949] <= 0.060
    assert gpu.most > 900


def test_the_first_sound_of_a_new_call_comes_before_the_next_frame_of_the_others() -> None:
    scheduler = Scheduler(FAST, 1024)
    old = [a_sentence(Priority.CALL, 0.0, made=20, sounded=20, chunks=4, begun_s=0.01) for _ in range(200)]
    for sentence in old:
        scheduler.add(sentence)
    new = a_sentence(Priority.CALL, 0.5)
    scheduler.add(new)
    chosen = scheduler.frames(0.5)
    assert chosen[0] is new
    # The others have more than a second of sound: the batch is the smallest that keeps up with them all.
    assert len(chosen) == 64
    scheduler.made(chosen, 0.502)
    assert scheduler.sounds(0.502)[0].sentences[0] is new
    assert scheduler.sounds(0.502)[0].frames == 1


def test_a_new_reply_over_http_goes_before_those_that_have_sound_ahead_and_behind_a_new_call() -> None:
    scheduler = Scheduler(FAST, 1024)
    for _ in range(200):
        scheduler.add(a_sentence(Priority.HTTP, 0.0, made=20, sounded=12, chunks=3, begun_s=0.01, last_s=0.49))
    new = a_sentence(Priority.HTTP, 0.5)
    scheduler.add(new)
    chosen = scheduler.frames(0.5)
    assert new in chosen
    assert len(chosen) == 64, "a smaller batch is a quicker one"
    scheduler.made(chosen, 0.502)
    chunks = scheduler.sounds(0.502)
    assert chunks[0].sentences[0] is new
    frames = sum(chunk.frames * len(chunk.sentences) for chunk in chunks)
    assert frames * FAST.sound_s < 0.005, "the first sound is heard once the whole step is over"
    call = a_sentence(Priority.CALL, 0.5)
    scheduler.add(call)
    assert scheduler.frames(0.503)[0] is call


def test_the_last_three_frames_of_a_sentence_are_made_with_others_four() -> None:
    scheduler = Scheduler(FAST, 16)
    ended = a_sentence(Priority.CALL, 0.0, made=18, sounded=15, chunks=4, begun_s=0.0, finished=True)
    going_on = a_sentence(Priority.CALL, 0.0, made=7, sounded=3, chunks=2, begun_s=0.0)
    for sentence in (ended, going_on):
        scheduler.add(sentence)
    (chunk,) = scheduler.sounds(0.1)
    assert chunk.frames == 4
    assert set(chunk.sentences) == {ended, going_on}
    scheduler.sounded(chunk.sentences, chunk.frames)
    assert (ended.sounded, ended.waiting, going_on.sounded) == (18, 0, 7)


def test_those_about_to_run_out_go_with_a_new_call() -> None:
    scheduler = Scheduler(FAST, 1024)
    short = a_sentence(Priority.CALL, 0.0, made=7, sounded=7, chunks=3, begun_s=0.0)
    long = a_sentence(Priority.CALL, 0.0, made=40, sounded=40, chunks=7, begun_s=0.0)
    new = a_sentence(Priority.CALL, 0.5)
    for sentence in (long, short, new):
        scheduler.add(sentence)
    assert scheduler.frames(0.5)[:2] == [new, short]


def test_sound_goes_out_early_when_the_caller_would_run_dry() -> None:
    scheduler = Scheduler(SLOW, 16)
    sentence = a_sentence(Priority.CALL, 0.0, made=9, sounded=7, chunks=3, begun_s=0.0)
    scheduler.add(sentence)
    assert scheduler.sounds(0.1) == []  # almost half a second is left
    (chunk,) = scheduler.sounds(7 * FRAME_S - 0.03)
    assert (chunk.frames, chunk.sentences) == (2, (sentence,))


def test_chunks_grow() -> None:
    gpu = Gpu(FAST, [caller := Caller(0.0, 40)])
    seen: list[int] = []
    sounded = gpu.scheduler.sounded
    gpu.scheduler.sounded = lambda sentences, frames: (seen.append(frames), sounded(sentences, frames))  # type: ignore[method-assign, assignment]
    gpu.run()
    assert tuple(seen[:4]) == CHUNK_RAMP
    assert set(seen[4:-1]) == {CHUNK_RAMP[-1]}
    assert sum(seen) == 40 == len(caller.got)


def test_a_cancelled_call_is_in_no_later_step() -> None:
    scheduler = Scheduler(FAST, 4)
    first, second = a_sentence(Priority.CALL, 0.0), a_sentence(Priority.CALL, 0.0)
    scheduler.add(first)
    scheduler.add(second)
    scheduler.made(scheduler.frames(0.0), 0.002)
    scheduler.remove(first)
    scheduler.remove(first)  # twice is no error
    assert scheduler.frames(0.002) == [second]
    assert [c.sentences for c in scheduler.sounds(0.002)] == [(second,)]
    assert len(scheduler) == 1


def test_nobody_makes_sound_far_ahead_of_its_playback() -> None:
    gpu = Gpu(FAST, [Caller(0.0, 200)])
    gpu.scheduler.add(sentence := a_sentence(Priority.CALL, 0.0))
    gpu.here[sentence] = gpu.coming.pop()
    while sentence.made < 100:
        if not gpu._step():
            gpu._idle()
        assert sentence.begun_s is None or sentence.runs_out_s(sentence.made) - gpu.now_s <= MAX_LEAD_S + FRAME_S


def test_capacity_follows_the_costs_and_bulk_leaves_room_for_calls() -> None:
    assert FAST.capacity() == 1024
    calls = SLOW.capacity()
    assert SLOW.load(calls) <= 0.85 < SLOW.load(calls + 1)
    scheduler = Scheduler(SLOW, 16)
    while scheduler.admits(Priority.BULK):
        scheduler.add(a_sentence(Priority.BULK, 0.0))
    assert scheduler.admits(Priority.CALL)
    while scheduler.admits(Priority.CALL):
        scheduler.add(a_sentence(Priority.CALL, 0.0))
    assert len(scheduler) == calls
    assert not Scheduler(FAST, 0).admits(Priority.CALL)


def test_a_sentence_whose_prompt_is_not_worked_off_gets_no_frames() -> None:
    scheduler = Scheduler(FAST, 4)
    scheduler.add(sentence := a_sentence(Priority.CALL, 0.0))
    sentence.blocked = True
    assert scheduler.frames(0.0) == []
    sentence.blocked = False
    assert scheduler.frames(0.0) == [sentence]


def longest_gap_s(asked: list[Caller]) -> float:
    """What is heard behind a process that takes 0.4 ms for each piece of sound and 2 ms for each call that comes."""
    made = sorted((at_s, frame, number) for number, caller in enumerate(asked) for at_s, frame in caller.pieces)
    arrivals = deque(sorted(caller.at_s for caller in asked))
    now_s = gap_s = 0.0
    plays_s: dict[int, float] = {}
    for at_s, frame, number in made:
        now_s = max(now_s, at_s)
        while arrivals and arrivals[0] <= now_s:
            arrivals.popleft()
            now_s += 0.002
        now_s += 0.0004
        late_s = max(0.0, now_s - plays_s.setdefault(number, now_s) - frame * FRAME_S)
        plays_s[number] += late_s  # all that follows is heard later by as much
        gap_s = max(gap_s, late_s)
    return gap_s


def test_a_rush_leaves_no_gap_where_the_sound_is_taken_in_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [Caller(at_s=i * 0.6180339887 % 1, frames=54) for i in range(250)]
    Gpu(FAST, asked).run()
    assert longest_gap_s(asked) == 0
    monkeypatch.setattr(scheduler_module, "RUSH_SENTENCES", 10**9)
    monkeypatch.setattr(scheduler_module, "RUSH_REPLIES", 10**9)
    asked = [Caller(at_s=caller.at_s, frames=54) for caller in asked]
    Gpu(FAST, asked).run()
    assert longest_gap_s(asked) > 0.02


@pytest.mark.parametrize(("replies", "frames"), [(RUSH_SENTENCES, 1), (RUSH_REPLIES, 2)])
def test_replies_over_http_are_a_rush_where_there_are_more_of_them(replies: int, frames: int) -> None:
    """Their first sound is made of so many frames, and not before there are."""
    scheduler = Scheduler(FAST, 1024)
    for i in range(replies):
        scheduler.add(a_sentence(Priority.HTTP, i * RUSH_S / replies, made=1))
    assert bool(scheduler.sounds(RUSH_S)) == (frames == 1)
    for sentence in scheduler.frames(RUSH_S):
        scheduler.made([sentence], RUSH_S)
    assert scheduler.sounds(RUSH_S)[0].frames == 2


def test_after_a_rush_a_first_sound_is_one_frame_again() -> None:
    for later_s, frames in ((0.0, 2), (RUSH_S + 0.1, 1)):
        scheduler = Scheduler(FAST, 1024)
        rush = [a_sentence(Priority.CALL, i * RUSH_S / RUSH_SENTENCES) for i in range(RUSH_SENTENCES)]
        for sentence in rush:
            scheduler.add(sentence)
        for sentence in rush[:-1]:
            scheduler.remove(sentence)
        sentence = rush[-1]
        if later_s:
            scheduler.remove(sentence)
            sentence = a_sentence(Priority.CALL, RUSH_S + later_s)
            scheduler.add(sentence)
        chunks: list[Chunks] = []
        while not chunks:
            scheduler.made([sentence], sentence.arrived_s)
            chunks = scheduler.sounds(sentence.arrived_s)
        assert [chunk.frames for chunk in chunks] == [frames]


def test_without_admission_the_same_load_does_stutter() -> None:
    """The simulation itself can tell: twice the capacity, all admitted, is late."""
    gpu = Gpu(SLOW, asked := [Caller(0.01 * i, 60) for i in range(2 * SLOW.capacity())])
    gpu.scheduler.capacity = len(asked)
    gpu.run()
    assert max(c.late_s for c in asked) > 0.05


def test_frames_do_not_run_away_from_their_sound() -> None:
    scheduler = Scheduler(FAST, 4)
    scheduler.add(sentence := a_sentence(Priority.CALL, 0.0, begun_s=0.0))
    for _ in range(100):
        scheduler.made(scheduler.frames(0.0), 0.0)
    assert sentence.made == MAX_WAITING


def made_steps(gpu: Gpu) -> int:
    return sum(bool(step) for step in gpu.steps)


def test_the_gpu_makes_what_calls_need_and_not_what_it_could() -> None:
    """Eight calls, each on a phase of its own: most frames are made for all of them together."""
    steps = {}
    for lead_s in (0.0, LEAD_S):
        gpu = Gpu(FAST, asked := [Caller(0.5 * i, 75) for i in range(8)], lead_s=lead_s)
        gpu.run()
        assert max(c.late_s for c in asked) <= ROUNDING_S
        steps[lead_s] = made_steps(gpu)
    assert steps[LEAD_S] <= 0.5 * steps[0.0]


@pytest.mark.parametrize("calls", [1, 4, 8])
def test_a_neighbour_that_stops_the_gpu_now_and_then_makes_no_paced_call_late(calls: int) -> None:
    gpu = Gpu(SLOW, asked := [Caller(0.17 * i, 150) for i in range(calls)], lead_s=LEAD_S, stall_s=0.3)
    gpu.run()
    assert gpu.stalls >= 5
    assert max(c.late_s for c in asked) <= ROUNDING_S


def a_paced_scheduler(*sentences: Sentence) -> Scheduler:
    scheduler = Scheduler(FAST, 1024, LEAD_S)
    for sentence in sentences:
        scheduler.add(sentence)
    return scheduler


def a_call_with_a_lead(lead_frames: int, played: int = 10) -> Sentence:
    """A call that has begun at 0 and has so many frames ahead when `played` frames have been played."""
    made = played + lead_frames
    return a_sentence(Priority.CALL, 0.0, made=made, sounded=made, chunks=4, begun_s=0.0)


def test_whoever_can_goes_along_with_whoever_has_to() -> None:
    now_s = 10 * FRAME_S
    rich, poor = a_call_with_a_lead(20), a_call_with_a_lead(9)
    assert a_paced_scheduler(rich).frames(now_s) == []
    assert set(a_paced_scheduler(rich, poor).frames(now_s)) == {rich, poor}
    new = a_sentence(Priority.CALL, now_s)
    assert new in a_paced_scheduler(rich, new).frames(now_s)


@pytest.mark.parametrize("priority", [Priority.HTTP, Priority.BULK])
def test_speech_that_is_no_calls_is_made_as_fast_as_can_be(priority: Priority) -> None:
    now_s = 10 * FRAME_S
    other = a_call_with_a_lead(20)
    other.priority = priority
    assert a_paced_scheduler(other).frames(now_s) == [other]


def test_a_sentence_that_is_needed_later_is_not_rushed() -> None:
    """A reply's next sentence is asked for while the one before it is being played."""
    sentence = Sentence(Speak(0, "", ""), needed_at_s=3.0, arrived_s=1.0)
    scheduler = a_paced_scheduler(sentence)
    assert scheduler.frames(1.0) == []
    assert scheduler.frames(3.0 - LEAD_S + 0.01) == [sentence]
    late = a_paced_scheduler(Sentence(Speak(0, "", ""), needed_at_s=3.0, arrived_s=1.0))
    assert len(late.frames(3.5)) == 1
    assert len(Scheduler(FAST, 4).frames(0.0)) == 0


def test_what_was_heard_already_is_made_at_once() -> None:
    """It is read once more only because what follows is wanted, and that is wanted now."""
    heard_frames = 50

    def begun(made: int) -> Sentence:
        speak = Speak(0, "", "", heard_s=heard_frames * FRAME_S)
        return Sentence(speak, arrived_s=1.0, begun_s=1.0, made=made, sounded=made, chunks=4)

    for made in (1, 20, heard_frames + 5):
        assert len(a_paced_scheduler(begun(made)).frames(1.0)) == 1
    assert a_paced_scheduler(begun(heard_frames + 20)).frames(1.0) == []
    heard_once, heard_again = a_call_with_a_lead(1), begun(20)
    assert a_paced_scheduler(heard_once, heard_again).frames(10 * FRAME_S)[0] is heard_again, (
        "it is the most urgent one"
    )


def test_a_neighbour_on_the_gpu_lowers_the_capacity_until_it_is_gone() -> None:
    scheduler = Scheduler(SLOW, 16, LEAD_S)
    alone = scheduler.capacity
    for step in range(50):
        scheduler.worked(step * FRAME_S, 0.02, 0.02)
    assert scheduler.capacity == alone
    for step in range(50, 100):
        scheduler.worked(step * FRAME_S, 0.04, 0.02)
    assert 1 <= scheduler.capacity < alone
    for step in range(100, 152):
        scheduler.worked(step * FRAME_S, 0.02, 0.02)
    assert scheduler.capacity == alone
