"""What a recogniser tells of the caller's audio is passed on with the times of the call."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import weakref
from types import FunctionType, MethodType, ModuleType
from uuid import uuid4

import numpy as np

from bridge.hearing.events import Heard, Partial, SpeechStarted, SpeechStopped, Transcript
from bridge.hearing.listening import Listening
from bridge.line.audiosocket import Kind
from bridge.line.call import Call
from engine.speech import Style
from tests.support.fakes import FakeEngine, NoWire


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


class SilentEar:
    """A local detector that hears nothing."""

    def push(self, pcm: bytes, rate_hz: int) -> None:
        pass

    def close(self) -> None:
        pass


async def test_a_stall_in_the_network_moves_neither_the_times_nor_the_recording() -> None:
    now_s, heard, recorded, pushed = 100.0, list[Heard](), bytearray(), Pushed()
    call = Call(uuid4(), NoWire(), FakeEngine(), Style(), now_s=lambda: now_s)
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


async def test_a_call_that_is_over_keeps_nothing_that_it_was_listened_to_with() -> None:
    """A server keeps the latest thousand calls, and 120 kB of each would be what its echo was found by."""
    recognizer, ear = Pushed(), SilentEar()
    gone = [weakref.ref(recognizer), weakref.ref(ear)]
    call = Call(uuid4(), NoWire(), FakeEngine(), Style())
    listening = Listening(call, 5_000, lambda event: None, lambda problem: None, time.monotonic, cancels_echo=True)
    listening.start(recognizer, ear)
    await asyncio.sleep(0)  # the recogniser's task runs, and is over
    call.audio_received(Kind.SLIN8, bytes(320))
    assert listening._canceller is not None
    gone.append(weakref.ref(listening._canceller))
    listening.stop()
    call.end("test over")
    del recognizer, ear
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
    gc.collect()
    assert [each() for each in gone] == [None] * 3, "the call is still there, and they are not"
    call.audio_received(Kind.SLIN8, bytes(320))
    assert listening._canceller is None, "sound that comes behind the end has no use any more"


async def test_a_call_that_is_over_keeps_not_when_each_of_its_sounds_came() -> None:
    """Half a minute of them is 75 kB, of each of the latest thousand calls."""
    now_s, frame = 100.0, np.full(160, 5_000, np.int16).tobytes()
    call = Call(uuid4(), NoWire(), FakeEngine(), Style(), now_s=lambda: now_s)
    listening = Listening(call, 5_000, lambda event: None, lambda problem: None, lambda: now_s)
    for _ in range(1_500):
        now_s += 0.02
        listening.audio_received(frame, 8_000)
    sizes = []
    for _ in range(2):
        sizes.append(_held_bytes(listening._gap_filler))
        listening.stop()
    assert sizes[0] > 30_000, "while it goes on it is known of each"
    assert sizes[1] < 3_000
    call.end("test over")


def _held_bytes(root: object) -> int:
    """Returns the size of all that only this object leads to, but for classes, functions and modules."""
    seen, waiting = {id(root): root}, [root]
    while waiting:
        for each in gc.get_referents(waiting.pop()):
            if id(each) not in seen and not isinstance(each, type | FunctionType | ModuleType | MethodType):
                seen[id(each)] = each
                waiting.append(each)
    return sum(map(sys.getsizeof, seen.values()))


async def test_a_recogniser_that_tells_a_start_of_speech_and_then_nothing_is_given_up() -> None:
    """It hangs while the caller speaks: the caller has stopped, and waits."""
    now_s, problems, pushed = 100.0, list[str](), Pushed()
    call = Call(uuid4(), NoWire(), FakeEngine(), Style(), now_s=lambda: now_s)
    listening = Listening(call, 5_000, lambda event: None, problems.append, lambda: now_s)
    listening.start(pushed, None)

    def hears(event: Heard, *, locally: bool) -> None:
        if not locally:
            pushed.heard_s = now_s
        listening.heard_locally(event) if locally else listening.heard(event)

    for at_s, ends_too in ((100.0, True), (110.0, False)):
        now_s = at_s
        hears(SpeechStarted(0), locally=True)
        now_s += 0.1
        hears(SpeechStarted(0), locally=False)
        if ends_too:
            now_s += 0.6
            hears(SpeechStopped(600), locally=False)
        now_s = at_s + 1.0
        hears(SpeechStopped(800), locally=True)
        now_s += 4.9
        listening._watch()
        assert not problems
        now_s += 0.2
        listening._watch()
    assert problems == ["a start of speech, and no sign of life for 5 s after its end"]
    listening.stop()


async def test_a_recogniser_that_tells_ever_more_words_of_a_caller_who_has_stopped_is_given_up() -> None:
    now_s, problems, pushed = 100.0, list[str](), Pushed()
    call = Call(uuid4(), NoWire(), FakeEngine(), Style(), now_s=lambda: now_s)
    listening = Listening(call, 5_000, lambda event: None, problems.append, lambda: now_s)
    listening.start(pushed, None)
    for softly, told_s in ((True, 20.0), (False, 7.4)):  # they go on too softly for the local detector, to an end
        listening.heard_locally(SpeechStarted(0))
        listening.heard(SpeechStarted(0))
        listening.heard_locally(SpeechStopped(800))
        if softly:
            now_s += 2.0
            listening.heard(Partial("one", 0))
            listening.heard(Transcript("one two", 0))
        else:
            now_s += 4.0  # late, as after a connection that was lost
            listening.heard(Partial("one", 0))
        now_s += told_s
        listening.heard(Partial("one two three", 0))
        assert not problems
    now_s += 0.2
    listening.heard(Partial("one two three four", 0))
    assert problems == ["more and more words of a caller who has stopped"]
    listening.stop()
    call.end("test over")
