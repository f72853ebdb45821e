"""What one call hears, to the sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.line.playout import FADE_AFTER_S, FADE_MS, Playout
from bridge.line.utterance import UtteranceObserver

RATE_HZ = 8_000
FRAME = 160
SILENCE = bytes(2 * FRAME)


def ramp(samples, start=1):
    """Audio in which every sample is known by its value."""
    return np.arange(start, start + samples, dtype=np.int16).tobytes()


def spoken(playout, pcm, text="", *, ended=True):
    utterance = playout.begin()
    utterance.open(RATE_HZ)
    utterance.write(pcm, text)
    if ended:
        utterance.end()
    return utterance


class Caller:
    """Ticks a playout every 20 ms and keeps what it heard."""

    def __init__(self, playout):
        self.playout = playout
        self.now_s = 0.0

    def hear(self, ticks):
        heard = b""
        for _ in range(ticks):
            self.now_s += 0.02
            rate_hz, pcm = self.playout.tick(self.now_s)
            assert len(pcm) == rate_hz // 50 * 2, "every tick is exactly one frame"
            heard += pcm
        return heard


@pytest.fixture
def playout():
    return Playout()


@pytest.fixture
def caller(playout):
    return Caller(playout)


def test_silence_when_there_is_nothing_to_say(playout, caller):
    assert caller.hear(3) == SILENCE * 3
    playout.rate_hz = 16_000
    assert caller.hear(1) == SILENCE * 2, "in the caller's rate"


def test_every_sample_once_and_in_order(playout, caller):
    spoken(playout, ramp(1000))
    heard = np.frombuffer(caller.hear(7), np.int16)
    assert np.array_equal(heard[:1000], np.arange(1, 1001))
    assert not heard[1000:].any()
    assert playout.idle


@given(st.lists(st.integers(0, 700), max_size=12), st.lists(st.integers(0, 3), max_size=12))
def test_writes_of_any_size_at_any_time_are_heard_gapless_but_for_underruns(sizes, ticks_between):
    playout = Playout()
    caller = Caller(playout)
    utterance = playout.begin()
    utterance.open(RATE_HZ)
    heard, start = b"", 1
    for index, size in enumerate(sizes):
        utterance.write(ramp(size, start))
        start += size
        heard += caller.hear(ticks_between[index] if index < len(ticks_between) else 0)
    utterance.end()
    heard += caller.hear(sum(sizes) // FRAME + 2)
    voiced = np.frombuffer(heard, np.int16)
    assert np.array_equal(voiced[voiced != 0], np.arange(1, start))
    assert utterance.done
    assert not utterance.interrupted


def test_utterances_wait_for_one_another_even_if_the_later_is_ready_first(playout, caller):
    first = playout.begin()
    second = spoken(playout, ramp(FRAME, 5000))
    assert caller.hear(2) == SILENCE * 2
    first.open(RATE_HZ)
    first.write(ramp(FRAME, 1))
    first.end()
    assert caller.hear(2) == ramp(FRAME, 1) + ramp(FRAME, 5000)
    assert second.done


def test_an_utterance_without_sound_holds_nobody_up(playout, caller):
    playout.begin().end()
    spoken(playout, ramp(FRAME))
    assert caller.hear(1) == ramp(FRAME)


def test_audio_that_is_not_made_in_time_is_counted(playout, caller):
    utterance = spoken(playout, ramp(FRAME), ended=False)
    caller.hear(4)
    assert playout.underrun_frames == 3
    utterance.write(ramp(FRAME))
    utterance.end()
    assert caller.hear(1) == ramp(FRAME)
    assert playout.underrun_frames == 3


def test_a_cut_leaves_at_most_a_fade_and_then_silence_for_good(playout, caller):
    utterance = spoken(playout, np.full(8000, 10_000, np.int16).tobytes())
    spoken(playout, ramp(800))
    caller.hear(10)
    interruption = playout.cut(caller.now_s + 0.015)
    after = np.frombuffer(caller.hear(60), np.int16)
    fade = after[: FADE_MS * RATE_HZ // 1000]
    assert fade[0] == 10_000
    assert (np.diff(fade) < 0).all()
    assert not after[len(fade) :].any()
    assert utterance.interrupted
    assert utterance.done
    assert interruption.interrupted
    assert interruption.audio_end_ms == 200
    assert playout.idle


def test_resuming_what_was_not_paused_leaves_the_fade_of_a_cut(playout, caller):
    spoken(playout, np.full(8000, 10_000, np.int16).tobytes())
    caller.hear(10)
    playout.cut(caller.now_s + 0.015)
    playout.resume()
    assert np.frombuffer(caller.hear(1), np.int16)[0] == 10_000


def test_a_cut_right_after_a_frame_is_hard_so_that_silence_comes_within_the_tick(playout, caller):
    spoken(playout, np.full(8000, 10_000, np.int16).tobytes())
    caller.hear(10)
    playout.cut(caller.now_s + FADE_AFTER_S / 2)
    assert not any(caller.hear(60))


def test_a_second_cut_finds_nothing(playout, caller):
    spoken(playout, ramp(8000))
    caller.hear(1)
    assert playout.cut(caller.now_s).interrupted
    assert not playout.cut(caller.now_s).interrupted


def test_what_comes_late_for_a_cut_utterance_is_never_heard(playout, caller):
    utterance = spoken(playout, ramp(800), ended=False)
    caller.hear(1)
    playout.cut(caller.now_s)
    utterance.write(ramp(800))
    utterance.end()
    assert not any(caller.hear(20))


@pytest.mark.parametrize("pause_after_s", [0.001, 0.015])
def test_a_pause_goes_on_from_the_exact_sample(playout, caller, pause_after_s):
    spoken(playout, ramp(FRAME * 10))
    before = caller.hear(3)
    assert playout.pause(caller.now_s + pause_after_s)
    paused = np.frombuffer(caller.hear(25), np.int16)
    assert not paused[FADE_MS * RATE_HZ // 1000 :].any()
    playout.resume()
    assert before + caller.hear(7) == ramp(FRAME * 10)
    assert playout.underrun_frames == 0


def test_a_pause_is_not_heard_as_played(playout, caller):
    utterance = spoken(playout, ramp(FRAME * 10))
    caller.hear(3)
    playout.pause(caller.now_s + 0.015)
    caller.hear(25)
    assert utterance.played_ms == 60


def test_resume_may_go_back_to_the_start_of_a_word(playout, caller):
    spoken(playout, ramp(FRAME * 10))
    caller.hear(5)
    playout.pause(caller.now_s)
    playout.resume(rewind_ms=40)
    assert caller.hear(1) == ramp(FRAME, 1 + 3 * FRAME)


def test_resume_goes_back_no_further_than_the_start(playout, caller):
    spoken(playout, ramp(FRAME * 10))
    caller.hear(1)
    playout.pause(caller.now_s)
    playout.resume(rewind_ms=60_000)
    assert caller.hear(1) == ramp(FRAME)


def test_nothing_to_pause_before_the_first_sound(playout, caller):
    playout.begin()
    assert not playout.pause(caller.now_s)


def test_each_utterance_is_heard_at_its_own_rate(playout, caller):
    wide = playout.begin()
    wide.open(16_000)
    wide.write(ramp(320))
    wide.end()
    spoken(playout, ramp(160))
    assert caller.hear(2) == ramp(320) + ramp(160)


class Told(UtteranceObserver):
    """Keeps what a playout tells, and if asked cuts it at the first start."""

    def __init__(self):
        self.events = []
        self.to_cut = None

    def utterance_started(self, utterance):
        self.events.append(("started", utterance.id))
        if self.to_cut is not None:
            self.to_cut.cut(0.02)

    def utterance_done(self, utterance):
        self.events.append(("done", utterance.id))


def test_who_is_told_of_the_start_may_cut():
    told = Told()
    told.to_cut = playout = Playout([told])
    caller = Caller(playout)
    first = spoken(playout, ramp(FRAME * 2))
    assert caller.hear(2) == SILENCE * 2
    assert first.interrupted
    assert first.heard_text() == ""
    assert playout.idle


def test_tells_when_an_utterance_starts_and_is_done():
    told = Told()
    playout = Playout([told])
    caller = Caller(playout)
    first, second = spoken(playout, ramp(FRAME * 2)), spoken(playout, ramp(FRAME * 2))
    caller.hear(3)
    assert told.events == [("started", first.id), ("done", first.id), ("started", second.id)]
    playout.cut(caller.now_s)
    assert told.events[-1] == ("done", second.id)
