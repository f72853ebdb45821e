"""What one call hears beside and between utterances: what is dropped, said again, cut short, or under it all."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.line.heard import spoken_letters
from bridge.line.playout import FADE_AFTER_S, FADE_MS, Interruption, Playout
from bridge.line.utterance import Utterance, UtteranceObserver

RATE_HZ = 8_000
FRAME = 160
MS = RATE_HZ // 1000


def said(playout: Playout, samples: int, text: str = "", *, level: int = 0) -> Utterance:
    """Returns an utterance, whole. Without a level every sample is known by its value."""
    utterance = playout.begin()
    utterance.open(RATE_HZ)
    pcm = np.full(samples, level) if level else np.arange(1, samples + 1)
    utterance.write(pcm.astype(np.int16).tobytes(), text)
    utterance.end()
    return utterance


def hear(playout: Playout, ticks: int, begin_s: float = 0.0) -> np.ndarray:
    frames = [playout.tick(begin_s + tick * 0.02)[1] for tick in range(ticks)]
    return np.frombuffer(b"".join(frames), np.int16)


def test_one_utterance_is_dropped_and_the_others_are_heard() -> None:
    done: list[Utterance] = []

    class Observer(UtteranceObserver):
        def utterance_done(self, utterance: Utterance) -> None:
            done.append(utterance)

    playout = Playout([Observer()])
    kept, dropped = said(playout, FRAME), said(playout, FRAME, level=7_000)
    playout.drop(dropped)
    assert done == [dropped]
    assert dropped.done
    playout.drop(dropped)
    assert done == [dropped], "once is enough"
    heard = hear(playout, 3)
    assert list(heard[:FRAME]) == list(range(1, FRAME + 1))
    assert not heard[FRAME:].any()
    assert done == [dropped, kept]


def test_what_a_pause_takes_back_is_heard_again() -> None:
    playout = Playout()
    utterance = said(playout, 8 * FRAME)
    hear(playout, 4)
    said(playout, FRAME)
    playout.take_back(20)
    assert utterance.played_ms == 80, "nothing is taken back from what plays"
    playout.pause(0.061)
    playout.take_back(20)
    assert utterance.played_ms == 60
    playout.resume()
    assert list(hear(playout, 1, 0.08)) == list(range(3 * FRAME + 1, 4 * FRAME + 1))
    Playout().take_back(20)  # nothing is queued


def test_what_left_and_is_not_played_counts_as_not_heard() -> None:
    playout = Playout()
    utterance = said(playout, 8 * FRAME)
    playout.not_played(20)
    assert utterance.played_ms == 0, "it has not begun"
    hear(playout, 4)
    said(playout, FRAME)
    playout.not_played(0)
    assert utterance.played_ms == 80
    playout.not_played(40)
    assert utterance.played_ms == 40


def test_a_cut_tells_what_was_heard_and_goes_on_with_what_is_said_next() -> None:
    playout = Playout()
    said(playout, 51 * FRAME, "One two.")
    hear(playout, 50)
    assert playout.pause(1.0)
    assert playout.cut(1.0) == Interruption(True, "One two.", 1_000)
    assert playout.cut(1.0) == Interruption(False)
    said(playout, FRAME)
    assert hear(playout, 2, 1.02)[-FRAME:].any(), "the pause ended with the cut"


def test_an_utterance_may_be_interrupted_unless_it_is_said_otherwise() -> None:
    playout = Playout()
    assert playout.begin().interruptible
    assert not playout.begin(interruptible=False).interruptible


def test_a_voice_that_was_heard_tells_how_fast_the_next_words_are() -> None:
    playout = Playout()
    usual = playout.begin()
    playout.drop(usual)
    said(playout, RATE_HZ, text := "These are twenty letters")
    hear(playout, 60)
    assert playout.begin().letters_per_second == pytest.approx(spoken_letters(text))
    playout.cut(2.0)
    said(playout, RATE_HZ)  # no words, and so no pace
    hear(playout, 60, 2.0)
    assert playout.begin().letters_per_second == pytest.approx(spoken_letters(text)), "the last that is known"
    assert usual.letters_per_second != pytest.approx(spoken_letters(text))


def test_a_fade_begins_at_full_level_and_ends_just_above_silence() -> None:
    playout = Playout()
    said(playout, 4 * FRAME, level=1_000)
    playout.tick(0.0)
    playout.cut(FADE_AFTER_S)
    (_, frame) = playout.tick(0.02)
    samples = FADE_MS * MS
    faded = np.frombuffer(frame, np.int16)
    assert list(faded[:samples]) == [round(1_000 * (1 - index / samples)) for index in range(samples)]
    assert not faded[samples:].any()


def test_what_is_too_short_for_a_fade_is_faded_as_far_as_it_goes() -> None:
    playout = Playout()
    said(playout, FRAME + 3, level=900)
    playout.tick(0.0)
    playout.cut(0.01)
    assert list(np.frombuffer(playout.tick(0.02)[1], np.int16)[:4]) == [900, 600, 300, 0]


class Under:
    """A background that notes when there was room for it, and is heard as ones."""

    idle = False

    def __init__(self) -> None:
        self.room: list[bool] = []

    def under(self, frame: bytes, rate_hz: int, *, room: bool) -> bytes:
        assert len(frame) == rate_hz // 50 * 2
        self.room.append(room)
        return np.ones(rate_hz // 50, np.int16).tobytes() if room else frame


def test_a_background_is_heard_only_while_nothing_is_said_or_paused() -> None:
    playout = Playout()
    playout.background = under = Under()  # type: ignore[assignment]
    assert (hear(playout, 1) == 1).all()
    utterance = said(playout, 3 * FRAME, level=500)
    assert (hear(playout, 1) == 500).all()
    playout.pause(0.001)
    assert not hear(playout, 1).any(), "a pause is silent"
    playout.resume()
    hear(playout, 2)
    assert utterance.done
    late = playout.begin()
    late.open(RATE_HZ)
    late.write(np.full(FRAME, 500, np.int16).tobytes(), "")
    hear(playout, 1)
    assert not hear(playout, 1).any(), "so is sound that is not made in time"
    playout.rate_hz = 16_000
    late.end()
    assert len(hear(playout, 1)) == 320
    assert under.room == [True, False, False, False, False, False, False, True]


def test_the_rate_is_a_telephones_until_it_is_known() -> None:
    assert [len(playout.tick(0.02)[1]) for playout in (Playout(),)] == [2 * FRAME]
    assert Playout().tick(0.02)[0] == RATE_HZ
