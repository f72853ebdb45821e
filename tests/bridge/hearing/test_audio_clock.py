"""Whatever a network does to the caller's sound, we know when it was made, and the recording has it there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.hearing.aligner import HOLD_MS, Aligner
from bridge.hearing.gap_filler import GapFiller

FRAME_MS = 20
FRAME_SAMPLES = 160
DELAY_MS = 30
"""What the network takes at the least."""
NEAR_MS = 40
BEAT_MS = 100
MARK = 1_000
"""Every frame is louder than silence, and can be told from any other by its value."""


@dataclass
class Frame:
    """A frame of the caller's sound."""

    number: int
    comes_ms: int | None
    """When it comes; None if it is lost."""
    start_ms: int | None = None
    """Where it was put in the stream."""

    @property
    def made_ms(self) -> int:
        """When its sound would be here without any hold-up."""
        return self.number * FRAME_MS + DELAY_MS


class Line:
    """The network, the filler and the recording of one call."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.now_ms = 0
        self.filler = GapFiller(0.0)
        self.aligner = Aligner(self.filler.clock)
        self.recording = bytearray()
        self.stream_ms = 0.0

    def calm(self, count: int, jitter_ms: list[int]) -> None:
        for index in range(count):
            self._make(0 if index < 3 else jitter_ms[index % len(jitter_ms)])

    def lose(self, count: int) -> None:
        self.frames += [Frame(len(self.frames) + index, None) for index in range(count)]

    def stall(self, count: int) -> None:
        """The network stands still for so many frames, then sends them all."""
        until_ms = (len(self.frames) + count) * FRAME_MS + DELAY_MS
        for _ in range(count):
            number = len(self.frames)
            self._make(until_ms - (number + 1) * FRAME_MS - DELAY_MS)

    def _make(self, late_ms: int) -> None:
        number = len(self.frames)
        comes_ms = (number + 1) * FRAME_MS + DELAY_MS + late_ms
        before_ms = max((frame.comes_ms or 0 for frame in self.frames[-5:]), default=0)
        self.frames.append(Frame(number, max(comes_ms, before_ms)))

    def run(self) -> None:
        """Has everything come, in order, with a beat every tenth of a second."""
        coming = [frame for frame in self.frames if frame.comes_ms is not None]
        last_ms = max(frame.comes_ms or 0 for frame in coming)
        unjudged: list[Frame] = []
        for now_ms in range(last_ms + 1):
            while coming and coming[0].comes_ms == now_ms:
                frame = coming.pop(0)
                self._push(frame, now_ms)
                unjudged.append(frame)
            if now_ms % BEAT_MS == 0:
                self.filler.fill(now_ms / 1000)
                self.recording += self.aligner.take(now_ms)
                # A detector tells the end of speech half a second after it.
                while unjudged and unjudged[0].comes_ms + 400 <= now_ms:
                    self._judge(unjudged.pop(0))
        self.recording += self.aligner.rest()

    def _push(self, frame: Frame, now_ms: int) -> None:
        pcm = np.full(FRAME_SAMPLES, MARK + frame.number, np.int16).tobytes()
        given = self.filler.push(pcm, 8_000, now_ms / 1000)
        assert given.endswith(pcm), "sound is kept"
        frame.start_ms = self.filler.position_ms - FRAME_MS
        self.aligner.push(pcm, 8_000, frame.start_ms)

    def _judge(self, frame: Frame) -> None:
        assert frame.start_ms is not None
        told_ms = self.filler.clock.call_ms(frame.start_ms)
        assert abs(told_ms - frame.made_ms) <= NEAR_MS, (frame, told_ms)


STRETCH = st.one_of(
    st.tuples(st.just("lose"), st.integers(1, 100)),
    st.tuples(st.just("stall"), st.integers(1, 120)),
)


@settings(max_examples=100, deadline=None)
@given(
    stretches=st.lists(st.tuples(STRETCH, st.integers(6, 60)), max_size=8),
    jitter_ms=st.lists(st.integers(0, 25), min_size=1, max_size=7),
)
def test_the_trace_and_the_recording_have_every_sound_where_it_was_made(
    stretches: list[tuple[tuple[str, int], int]], jitter_ms: list[int]
) -> None:
    line = Line()
    line.calm(30, jitter_ms)
    for (kind, count), calm in stretches:
        getattr(line, kind)(count)
        line.calm(calm, jitter_ms)
    line.calm(60, [0])
    line.run()
    recorded = np.frombuffer(bytes(line.recording), np.int16)
    left_out = 0
    for frame in line.frames:
        found = np.flatnonzero(recorded == MARK + frame.number)
        if frame.comes_ms is None:
            assert not len(found)
            continue
        left_out += FRAME_SAMPLES - len(found)
        if len(found):
            assert abs(found[0] / 8 - frame.made_ms) <= NEAR_MS, frame
    assert left_out <= NEAR_MS * 8, "a recording is whole but for what lies within the tolerance"


def test_a_stall_of_400_ms_moves_nothing() -> None:
    line = Line()
    line.calm(50, [0])
    line.stall(20)
    line.calm(100, [0])
    line.run()
    assert line.frames[-1].start_ms is not None
    assert line.filler.clock.call_ms(line.frames[-60].start_ms or 0) == pytest.approx(line.frames[-60].made_ms, abs=1)


def test_the_stream_comes_back_to_the_clock_in_the_next_silence() -> None:
    filler = GapFiller(0.0)
    loud, quiet = np.full(160, 5_000, np.int16).tobytes(), bytes(320)
    for index in range(50):
        filler.push(loud, 8_000, (index + 1) * 0.02)
    filler.fill(1.4)
    for _ in range(20):
        filler.push(loud, 8_000, 1.4)
    assert filler.position_ms == 1_800, "all of the late sound is kept"
    given = b"".join(filler.push(quiet, 8_000, 1.42 + index * 0.02) for index in range(100))
    assert filler.position_ms == 3_400
    assert len(given) == 1_600 * 16
    assert filler.clock.call_ms(3_300) == pytest.approx(3_300, abs=21)


def test_silence_that_was_filled_in_lies_between_the_sounds_around_it() -> None:
    filler = GapFiller(0.0)
    frame = np.full(160, 5_000, np.int16).tobytes()
    for index in range(50):
        filler.push(frame, 8_000, (index + 1) * 0.02)
    filler.fill(1.4)
    for _ in range(20):
        filler.push(frame, 8_000, 1.4)
    assert filler.clock.call_ms(1_000) == pytest.approx(1_000, abs=1)
    assert filler.clock.call_ms(1_200) == pytest.approx(1_000, abs=1), "it never was"
    assert filler.clock.call_ms(1_500) == pytest.approx(1_100, abs=1)


def test_a_place_before_anything_has_come_is_itself() -> None:
    assert GapFiller(0.0).clock.call_ms(500) == 500


def test_what_comes_later_than_a_recording_waits_is_left_out() -> None:
    filler = GapFiller(0.0)
    aligner = Aligner(filler.clock)
    frame = np.full(160, 5_000, np.int16).tobytes()
    filler.push(frame, 8_000, 0.02)
    aligner.push(frame, 8_000, 0)
    before = aligner.take(HOLD_MS + 1_000)
    assert len(before) == 1_000 * 16
    for _ in range(200):  # four seconds that were held up
        filler.push(frame, 8_000, 4.02)
        aligner.push(frame, 8_000, filler.position_ms - 20)
    assert len(before + aligner.take(HOLD_MS + 4_020)) == pytest.approx(4_020 * 16, abs=40 * 16)
