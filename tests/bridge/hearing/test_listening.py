"""What a recogniser tells of the caller's audio is passed on with the times of the call."""

from __future__ import annotations

from uuid import uuid4

import numpy as np

from bridge.hearing.events import Heard, Partial, SpeechStarted, SpeechStopped, Transcript
from bridge.hearing.listening import Listening
from bridge.line.audiosocket import Kind
from bridge.line.call import Call
from engine.speech import Style
from tests.support.fakes import FakeEngine


class Wire:
    """A connection that takes everything."""

    def send(self, frame: bytes) -> None:
        pass

    def hang_up(self) -> None:
        pass


class Pushed:
    """A recogniser that keeps what it is given."""

    speech_events = True
    down_since_s: float | None = None
    heard_s = 0.0

    def __init__(self) -> None:
        self.audio = bytearray()

    def push(self, pcm: bytes, rate_hz: int) -> None:
        self.audio += pcm

    def flush(self) -> None:
        pass

    async def run(self) -> None:
        pass


async def test_a_stall_in_the_network_moves_neither_the_times_nor_the_recording() -> None:
    now_s, heard, recorded, pushed = 100.0, list[Heard](), bytearray(), Pushed()
    call = Call(uuid4(), Wire(), FakeEngine(), Style(), now_s=lambda: now_s)
    listening = Listening(call, 5_000, heard.append, lambda problem: None, lambda: now_s)
    listening.recorders.append(lambda pcm, rate_hz: recorded.extend(pcm))
    listening.start(pushed, None)
    frame = np.full(160, 5_000, np.int16).tobytes()
    for _ in range(100):
        now_s += 0.02
        call.audio_received(Kind.SLIN8, frame)
    for _ in range(4):  # the network stands still for 400 ms, and the beat fills the stream
        now_s += 0.1
        listening._feed(listening._gap_filler.fill(now_s))
    for _ in range(20):
        call.audio_received(Kind.SLIN8, frame)
    for _ in range(50):
        now_s += 0.02
        call.audio_received(Kind.SLIN8, frame)

    assert len(pushed.audio) == (3_400 + 400) * 16, "the recogniser has had silence in place of what came late"
    for event in (
        SpeechStarted(500),
        SpeechStopped(3_500),
        Partial("two", 2_900),
        Transcript("two", None),
    ):
        listening.heard(event)
    assert heard == [SpeechStarted(500), SpeechStopped(3_100), Partial("two", 2_500), Transcript("two", None)]

    listening.stop()
    assert bytes(recorded) == frame * 170, "nothing is missing, and nothing is where it was not said"
    call.end("test over")
