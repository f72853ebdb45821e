"""What Asterisk holds stays about a frame, whatever the two clocks and the network do."""

from __future__ import annotations

import json
import random

from bridge.line.asterisk_queue import EMPTY, MARK_EVERY, MOST, AsteriskQueue

SILENCE, SPEECH = bytes(320), b"\1\0" * 160
FRAME_BYTES = 4 + 320


class Asterisk:
    """chan_websocket's queue: it takes what is written, and a frame leaves it at every tick of its own."""

    def __init__(self) -> None:
        self.ours = AsteriskQueue()
        self.queue: list[bytes | str] = []
        self.silences = 0

    def take(self, data: bytes) -> None:
        while data:
            if data[0] == 0x82:
                self.queue.append(data[4:FRAME_BYTES])
                data = data[FRAME_BYTES:]
                continue
            text, data = json.loads(data[2 : 2 + data[1]]), data[2 + data[1] :]
            if text["command"] == "FLUSH_MEDIA":
                self.queue.clear()
            else:
                self.queue.append(text["correlation_id"])

    def tick(self) -> None:
        while self.queue and isinstance(self.queue[0], str):
            self.ours.marked(str(self.queue.pop(0)))
        if self.queue:
            self.queue.pop(0)
        else:
            self.silences += 1

    @property
    def held(self) -> int:
        return sum(isinstance(entry, bytes) for entry in self.queue)


def run(asterisk: Asterisk, ticks: int, pcm: bytes = SILENCE) -> None:
    for _ in range(ticks):
        asterisk.take(asterisk.ours.write(pcm))
        asterisk.tick()


def test_a_frame_stands_ready_from_the_start() -> None:
    asterisk = Asterisk()
    run(asterisk, 100)
    assert asterisk.held == 1
    assert asterisk.silences == 0


def test_what_a_stall_has_left_behind_goes_with_the_next_silence() -> None:
    asterisk = Asterisk()
    run(asterisk, 100, SPEECH)
    for _ in range(30):
        asterisk.take(asterisk.ours.write(SPEECH))  # all at once
    run(asterisk, MARK_EVERY, SPEECH)
    assert asterisk.held >= 30, "speech is never left out"
    run(asterisk, MARK_EVERY + 30)
    assert asterisk.held < MOST


def test_clocks_that_run_apart_make_no_growing_delay() -> None:
    """Ours gains a frame in fifty, for twenty minutes of turns of four seconds."""
    asterisk, chance = Asterisk(), random.Random(1)
    most = 0
    for turn in range(300):
        for tick in range(200):
            pcm = SPEECH if tick < 150 else SILENCE
            run(asterisk, 1, pcm)
            if tick % 50 == chance.randrange(50):
                asterisk.take(asterisk.ours.write(pcm))
        if turn:
            most = max(most, asterisk.held)
    assert most <= 6


def test_a_flush_takes_what_is_held_and_tells_how_much() -> None:
    asterisk = Asterisk()
    run(asterisk, 100, SPEECH)
    for _ in range(10):
        asterisk.take(asterisk.ours.write(SPEECH))
    run(asterisk, MARK_EVERY, SPEECH)
    held = asterisk.held
    data, held_ms = asterisk.ours.flush()
    assert abs(held_ms - held * 20) <= 20, "heard is what was played, to a frame"
    asterisk.take(data)
    assert asterisk.held == 0
    run(asterisk, 100)
    assert 1 <= asterisk.held < MOST


def test_marks_that_nobody_set_are_passed_over() -> None:
    ours = AsteriskQueue()
    for mark in ("", "x", "-1", "99999999999999999999", "٣", "0"):
        assert not ours.marked(mark)
    assert ours.held == EMPTY
    assert ours.marked("end")
