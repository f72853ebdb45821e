"""A caller who puts the line on hold is waited for. Ticked by hand."""

from __future__ import annotations

import pytest

from bridge.hearing.events import HoldBegan, HoldEnded, Partial, SpeechStarted, SpeechStopped, Transcript
from tests.bridge.conversation.rig import END, Rig, conversation


async def test_what_is_played_into_hold_is_not_heard_and_said_again_afterwards(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "One two three four five six seven.", END)
    await rig.tick_ms(2_500)
    rig.talk.heard(HoldBegan(rig.talk.audio_ms - 2_000))
    await rig.tick()  # the fade
    assert await rig.tick_ms(20_000) == 0, "nothing is said into the music"
    rig.talk.heard(HoldEnded())
    assert await rig.tick_ms(6_000) * 20 == pytest.approx(3_400 - 500, abs=60), "34 letters, less those heard before"
    assert rig.brain.heard_texts == [("One two three four five six seven.", False)]
    assert {"hold.began", "hold.ended"} <= set(rig.kinds())


async def test_history_has_nothing_that_was_played_into_the_music(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "One two three four five six seven.", END)
    await rig.tick_ms(2_600)
    rig.talk.heard(HoldBegan(rig.talk.audio_ms - 2_000))
    await rig.tick_ms(1_000)
    rig.call.end("the caller hung up")
    await rig.settle()
    assert rig.brain.heard_texts == [("One two", True)]


async def test_nobody_is_prompted_and_no_word_of_a_song_is_answered(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, no_input_timeout_ms=2_000, unclear_timeout_ms=1_000)
    await rig.say("hello", "Yes?", END)
    await rig.tick_ms(1_000)
    rig.talk.heard(HoldBegan(500))
    await rig.tick_ms(20_000)
    for event in (SpeechStarted(9_000), Partial("la la"), SpeechStopped(9_900), Transcript("la la la")):
        rig.talk.heard(event)
    await rig.tick_ms(20_000)
    assert rig.brain.said == ["hello"]
    rig.talk.heard(HoldEnded())
    await rig.tick_ms(1_900)
    assert rig.brain.said == ["hello"]
    rig.brain.put(END)
    await rig.tick_ms(200)
    assert rig.brain.said == ["hello", "silence"], "from then on the silence counts again"


async def test_a_prompt_that_the_hold_cut_short_is_not_said_afterwards(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, no_input_timeout_ms=2_000)
    await rig.say("hello", "Yes?", END)
    rig.brain.put("Are you still there?", END)
    await rig.tick_ms(3_000)
    rig.talk.heard(HoldBegan(rig.talk.audio_ms - 200))
    await rig.tick_ms(20_000)
    rig.talk.heard(HoldEnded())
    assert await rig.tick_ms(1_900) == 0, "the caller is back, and need not be asked"
    assert rig.brain.said == ["hello", "silence"]
    rig.brain.put("Are you still there?", END)
    assert await rig.tick_ms(1_000) > 0, "unless they are silent from then on"


async def test_an_answer_that_is_ready_waits_for_the_caller(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello")
    rig.talk.heard(HoldBegan(0))
    rig.brain.put("Good morning.", END)
    assert await rig.tick_ms(5_000) == 0
    rig.talk.heard(HoldEnded())
    assert await rig.tick_ms(100) > 0


async def test_a_caller_who_comes_back_with_words_is_answered(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "One two three four five six seven.", END)
    await rig.tick_ms(1_000)
    rig.talk.heard(HoldBegan(rig.talk.audio_ms))
    await rig.tick_ms(5_000)
    rig.talk.heard(HoldEnded())
    rig.talk.heard(SpeechStarted(rig.talk.audio_ms))
    rig.talk.heard(Partial("I am back"))
    rig.talk.heard(SpeechStopped(rig.talk.audio_ms + 500))
    await rig.say("I am back", "Fine.", END)
    await rig.tick_ms(1_000)
    assert rig.brain.said == ["hello", "I am back"]
