"""What was sent is matched with what is heard, whatever either side loses or holds back."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.hearing.echo_reference import (
    JUDGED_TICKS,
    LEAD_BLOCKS,
    MOST_BLOCKS,
    OWED_TICKS,
    EchoReference,
)

SILENCE = np.zeros(160, np.float32)


class Sides:
    """Both sides of one call. Each block sent bears the number of its tick, from 1 on; silence is 0."""

    def __init__(self) -> None:
        self.reference = EchoReference(SILENCE)
        self.tick = 0
        self.late: list[int] = []
        """For each block heard how many ticks before it the block was sent that it was matched with."""
        self.skipped: list[int] = []
        """The blocks that were sent and belong to nothing heard."""
        self._made: list[int] = []

    def send(self, *, skipped: int = 0, late_s: float = 0.0) -> None:
        """Sends the next frame; before it the clock has dropped so many."""
        self.tick += 1 + skipped
        self.reference.tick(100.0 + self.tick * 0.02 + late_s)
        self.reference.push(np.full(160, self.tick, np.float32))

    def hear(self, made: int) -> None:
        """Hears the block that was made in this tick."""
        self.reference.hear()
        self._made.append(made)
        while self._made and not self.reference.waits:
            skipped, sent = self.reference.match()
            self.skipped += [int(block[0]) for block in skipped]
            self.late.append(self._made.pop(0) - int(sent[0]))

    def go_on(self, ticks: int) -> None:
        for _ in range(ticks):
            self.send()
            self.hear(self.tick)


def test_each_block_heard_is_matched_with_the_one_that_was_sent_a_tick_before() -> None:
    sides = Sides()
    sides.go_on(100)
    assert sides.late == [LEAD_BLOCKS] * 100


def test_what_a_network_held_back_is_matched_with_what_was_sent_when_it_was_made() -> None:
    sides = Sides()
    sides.go_on(50)
    for _ in range(30):
        sides.send()
    for made in range(51, 81):
        sides.hear(made)
    sides.go_on(50)
    assert sides.late == [LEAD_BLOCKS] * 130


def test_frames_that_we_send_late_and_in_a_row_are_matched_all_the_same() -> None:
    sides = Sides()
    sides.go_on(50)
    for made in (51, 52, 53):  # what was heard while we stood still for 60 ms comes first
        sides.hear(made)
    for late_s in (0.055, 0.045, 0.035):
        sides.send(late_s=late_s)
    sides.go_on(50)
    assert sides.late[:51] == [LEAD_BLOCKS] * 51
    assert sides.late[53:] == [LEAD_BLOCKS] * 50, "two of them were heard before what belongs to them was sent"


def test_frames_that_our_clock_has_dropped_are_silence_in_their_place() -> None:
    sides = Sides()
    sides.go_on(50)
    for made in range(51, 59):  # we stood still for 160 ms
        sides.hear(made)
    sides.send(skipped=8)
    sides.hear(sides.tick)
    sides.go_on(50)
    assert sides.late[-50:] == [LEAD_BLOCKS] * 50, "at once, without a wait for what is never sent"


@pytest.mark.parametrize("lost", [1, 2, 20])
def test_blocks_that_are_lost_for_good_are_left_out_at_once_and_their_echo_may_come(lost: int) -> None:
    sides = Sides()
    sides.go_on(50)
    for _ in range(lost):
        sides.send()  # and nothing is heard of these ticks
    sides.go_on(3 * JUDGED_TICKS)
    assert sides.late == [LEAD_BLOCKS] * len(sides.late)
    assert sides.skipped == list(range(50, 50 + lost))


def test_a_telephone_that_sends_nothing_while_it_is_quiet_is_known_from_a_network_that_holds_back() -> None:
    sides = Sides()
    sides.go_on(50)
    for _ in range(20):
        sides.go_on(15)
        for _ in range(7):
            sides.send()  # nothing is heard, and never will be
    assert sides.late == [LEAD_BLOCKS] * len(sides.late)


def test_what_was_heard_waits_no_longer_than_a_tick() -> None:
    sides = Sides()
    sides.go_on(50)
    for _ in range(7):
        sides.send()
    sides.go_on(1)
    assert len(sides.late) == 50, "it may be the first of many"
    sides.go_on(1)
    assert len(sides.late) == 52


def test_where_blocks_come_now_before_a_tick_and_now_after_it_nothing_is_left_out() -> None:
    sides, random = Sides(), np.random.default_rng(1)
    early = False
    for _ in range(2_000):
        if early:
            sides.send()
        else:
            sides.send()
            sides.hear(sides.tick)
        if early := bool(random.random() < 0.3):
            sides.hear(sides.tick + 1)
    assert not sides.skipped
    assert set(sides.late[JUDGED_TICKS:]) == {LEAD_BLOCKS}


def test_what_was_held_back_may_take_a_few_ticks_to_come() -> None:
    sides = Sides()
    sides.go_on(50)
    for _ in range(30):
        sides.send()
    for made in range(51, 81, 6):
        for one in range(made, made + 6):
            sides.hear(one)
        sides.send()
    for made in range(81, sides.tick + 1):
        sides.hear(made)
    sides.go_on(50)
    assert sides.late == [LEAD_BLOCKS] * len(sides.late)


def test_what_was_never_sent_is_not_waited_for_without_end() -> None:
    """Else each block that is sent would be taken for an older one, for the rest of the call."""
    sides = Sides()
    sides.go_on(50)
    for made in (51, 52):
        sides.hear(made)
    sides.tick += 2
    sides.go_on(3 * OWED_TICKS)
    assert sides.late[-OWED_TICKS:] == [0] * OWED_TICKS


def test_sound_from_before_the_first_frame_was_sent_is_waited_for_as_little() -> None:
    """A caller who was answered late on a busy machine: all that was said until then comes at once."""
    sides = Sides()
    for made in range(-19, 1):
        sides.hear(made)
    sides.go_on(3 * OWED_TICKS)
    assert sides.late[-OWED_TICKS:] == [0] * OWED_TICKS


def test_a_caller_who_sends_nothing_costs_no_more_than_what_is_kept() -> None:
    sides = Sides()
    for _ in range(3 * MOST_BLOCKS):
        sides.send()
    assert len(sides.reference._sent) == MOST_BLOCKS
    sides.reference.tick(1e9)
    assert len(sides.reference._sent) == MOST_BLOCKS, "nor does a clock that was put on"
    sides.go_on(2 * JUDGED_TICKS)
    assert sides.late[-1] == LEAD_BLOCKS
