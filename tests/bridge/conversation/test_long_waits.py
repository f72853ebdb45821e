"""What a caller hears who waits, says nothing, is not understood, or never ends the call. Ticked by hand."""

from __future__ import annotations

import asyncio

import pytest

from bridge.hearing.events import SpeechStarted, SpeechStopped, Transcript
from tests.bridge.conversation.rig import END, Rig, conversation


async def test_an_impatient_caller_gets_the_answer_to_the_first_words(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("a table for two")
    for _ in range(5):
        await rig.tick_ms(1_200)
        rig.talk.heard(SpeechStarted())
        await rig.tick_ms(400)
        rig.talk.heard(SpeechStopped())
        rig.talk.heard(Transcript("Hello?"))
        await rig.tick_ms(200)
    rig.brain.put("Of course.", END)
    assert await rig.tick_ms(2_000) == 50
    assert rig.brain.said == ["a table for two"]
    assert [entry.text for entry in rig.talk.journal.entries if entry.who == "user"][1:] == ["Hello?"] * 5


@pytest.mark.parametrize("words_ms", [200, 460, 600, 1_200])
async def test_a_caller_who_says_hello_without_a_break_hears_the_answer_and_all_of_it(
    rigs: list[Rig], words_ms: int
) -> None:
    """Each hello begins before the words of the one before have come, or with them; it stops once the agent speaks."""
    rig = await conversation(rigs)
    await rig.say("when do you open?")
    due: list[tuple[int, SpeechStarted | SpeechStopped | Transcript]] = []
    heard_at: list[int] = []
    for at_ms in range(0, 14_000, 20):
        if at_ms >= 600 and (at_ms - 600) % 900 == 0 and len(heard_at) < 25:
            words = Transcript("Hello?")
            due += [(at_ms, SpeechStarted()), (at_ms + 400, SpeechStopped()), (at_ms + 400 + words_ms, words)]
            due.sort(key=lambda told: told[0])
        while due and due[0][0] <= at_ms:
            rig.talk.heard(due.pop(0)[1])
        if at_ms == 2_500:
            rig.brain.put("We open at nine in the morning.", END)
        heard_at += [at_ms] * await rig.tick()
    assert 2_500 <= heard_at[0] < 4_000
    assert rig.brain.said == ["when do you open?"], "the answer to that is the answer to every hello"
    assert rig.brain.heard_texts == [("We open at nine in the morning.", False)]


async def test_an_answer_begun_anew_does_not_begin_the_wait_for_the_filler_anew(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, filler="Um.", filler_after_ms=2_000)
    await rig.say("a table for two")
    await rig.tick_ms(2_400)
    await rig.say("in the garden")  # the answer is begun anew, and the caller has waited for 2.4 s
    await asyncio.sleep(0.05)
    await rig.settle()
    assert await rig.tick_ms(500) == 15
    await rig.say("hello?", "Yes.", END)
    assert rig.brain.said == ["a table for two", "in the garden"]
    assert await rig.tick_ms(500) == 20
    assert rig.brain.heard_texts[-1] == ("Um. Yes.", False)


async def test_silence_prompts_by_default(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    rig.brain.put("Are you there?", END, "Say something.", END)
    await rig.tick_ms(11_000)
    assert rig.brain.said == ["silence"]
    await rig.tick_ms(12_000)
    assert rig.brain.said == ["silence", "silence"]


async def test_words_that_are_not_understood_are_asked_for_again(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    rig.talk.heard(SpeechStarted())
    await rig.tick_ms(2_000)
    rig.talk.heard(SpeechStopped())
    rig.talk.heard(Transcript(""))
    await rig.tick_ms(1_400)
    assert rig.brain.said == []
    await rig.tick_ms(200)
    assert rig.brain.said == ["misheard"]


async def test_a_call_ends_at_the_longest_time_after_a_warning(rigs: list[Rig]) -> None:
    settings = {"max_call_s": 4, "max_call_warning": "Soon over.", "fallback_destination": "from-internal,100,1"}
    rig = await conversation(rigs, **settings)
    assert await rig.tick_ms(1_900) == 0
    assert await rig.tick_ms(1_500) == 50, "the warning"
    assert not rig.hung_up
    await rig.say("go on", "This is an answer that goes on and on and on.", END)
    await rig.tick_ms(700)
    assert rig.hung_up
    assert str(rig.talk.next) == "from-internal,100,1"
