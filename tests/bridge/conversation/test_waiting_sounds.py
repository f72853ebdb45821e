"""What a caller hears who waits for the agent, ticked by hand."""

from __future__ import annotations

import numpy as np

from bridge.brains.brain import EndText, HangUp
from bridge.hearing.events import HoldBegan, HoldEnded, SpeechStarted, SpeechStopped, Transcript
from bridge.line.call import CallObserver
from tests.bridge.conversation.rig import END, Rig
from tests.support.asterisk.signals import share_db
from tests.support.fakes import LEVEL

THINKING = {"thinking_sound": "soft", "thinking_sound_after_ms": 200, "thinking_sound_db": -20}
RINGING = {"ringing": "eu"}


async def begin(rigs: list[Rig], greeting: str = "", direction: str = "inbound", **settings: object) -> Rig:
    rig = Rig(greeting, variables={"direction": direction}, **settings)
    rigs.append(rig)
    rig.talk.start()
    await rig.settle()
    rig.brain.heard_texts.clear()
    return rig


async def hear(rig: Rig, ms: int) -> np.ndarray:
    before = len(rig.frames)
    await rig.tick_ms(ms)
    return np.frombuffer(b"".join(rig.frames[before:]), np.int16)


def is_chord(heard: np.ndarray) -> bool:
    return bool(heard.any()) and share_db(heard, 8_000, 200, 350) > -0.5


def is_speech(heard: np.ndarray) -> bool:
    """True of the fake engine's speech alone, once its first milliseconds are over."""
    return bool(np.all(np.abs(heard[100:].astype(int) - LEVEL) < 100))


async def test_a_caller_who_waits_for_an_answer_hears_the_sound_until_its_first_frame(rigs: list[Rig]) -> None:
    rig = await begin(rigs, **THINKING)
    await rig.say("a table")
    assert not (await hear(rig, 200)).any()
    assert is_chord(await hear(rig, 2000))
    rig.brain.put("Yes.", END)
    await rig.settle()
    assert is_speech(await hear(rig, 20)), "within one tick"
    assert await rig.tick_ms(3000) == 19, "the sound does not come back when all has been said"
    assert rig.brain.heard_texts == [("Yes.", False)]
    assert [entry.text for entry in rig.talk.journal.entries] == ["a table", "Yes."]


async def test_it_fills_the_time_of_a_tool_but_not_that_of_silence(rigs: list[Rig]) -> None:
    rig = await begin(rigs, "Hello.", **THINKING, no_input_timeout_ms=0)
    await rig.tick_ms(1000)
    assert not (await hear(rig, 5000)).any(), "the caller is to speak"
    await rig.say("a table", "I see.", EndText())
    await rig.tick_ms(600)
    assert is_chord((await hear(rig, 2000))[4_000:])
    rig.brain.put(END)
    await rig.settle()
    assert not (await hear(rig, 3000))[400:].any()


async def test_it_is_never_heard_over_the_caller(rigs: list[Rig]) -> None:
    rig = await begin(rigs, **THINKING)
    await rig.say("a table")
    await rig.tick_ms(1500)
    rig.talk.heard(SpeechStarted())
    assert not (await hear(rig, 2000))[40:].any(), "5 ms of it are left"
    rig.talk.heard(SpeechStopped())
    rig.talk.heard(Transcript("for two"))
    await rig.settle()
    assert is_chord(await hear(rig, 2000))


async def test_it_is_not_heard_on_hold_nor_in_a_call_that_ends(rigs: list[Rig]) -> None:
    rig = await begin(rigs, **THINKING)
    await rig.say("a table")
    await rig.tick_ms(1500)
    rig.talk.heard(HoldBegan())
    assert not (await hear(rig, 2000))[40:].any()
    rig.talk.heard(HoldEnded())
    await rig.settle()
    assert (await hear(rig, 2000)).any()
    rig.brain.put(HangUp(), END)
    await rig.settle()
    assert not (await hear(rig, 1000))[40:].any()
    assert rig.hung_up


async def test_the_recording_and_the_echo_canceller_are_told_of_it(rigs: list[Rig]) -> None:
    rig, sent = await begin(rigs, **THINKING), list[bytes]()

    class Listener(CallObserver):
        def frame_sent(self, pcm: bytes, rate_hz: int) -> None:
            sent.append(pcm)

    rig.call.observe(Listener())
    await rig.say("a table")
    heard = await hear(rig, 1000)
    assert heard.any()
    assert b"".join(sent) == heard.tobytes()


async def test_it_is_off_unless_it_is_asked_for(rigs: list[Rig]) -> None:
    rig = await begin(rigs)
    await rig.say("a table")
    assert not (await hear(rig, 5000)).any()


async def test_it_rings_until_a_slow_greeting_begins(rigs: list[Rig]) -> None:
    rig = Rig("Hello.", **RINGING, **THINKING)
    rigs.append(rig)
    rig.engine.gate.clear()
    rig.talk.start()
    assert not (await hear(rig, 400)).any()
    assert share_db(await hear(rig, 900), 8_000, 415, 435) > -0.5
    rig.engine.gate.set()
    await rig.settle()
    assert is_speech(await hear(rig, 20))
    await rig.tick_ms(2000)
    await rig.say("a table")
    assert is_chord(await hear(rig, 3000)), "it thinks, and does not ring again"


async def test_it_does_not_ring_without_a_greeting_nor_for_somebody_who_was_called(rigs: list[Rig]) -> None:
    rig = await begin(rigs, **RINGING)
    assert not (await hear(rig, 3000)).any()
    called = Rig("Hello.", variables={"direction": "outbound"}, **RINGING)
    rigs.append(called)
    called.engine.gate.clear()
    called.talk.start()
    assert not (await hear(called, 3000)).any()
    called.engine.gate.set()
