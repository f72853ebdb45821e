"""Answers that break off, cannot be spoken, or do not come: what the caller hears in their place."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.brains.brain import BrainError, BreakOff, Piece, Say, Transfer
from bridge.line.apology import Apology
from bridge.line.call import State
from tests.bridge.conversation.rig import END, Rig, conversation


async def test_an_answer_that_breaks_off_is_spoken_up_to_its_last_whole_sentence(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("when", "We open. On Sund", BreakOff(), END)
    assert await rig.tick_ms(3000) == 8 * 5
    assert rig.brain.heard_texts == [("We open.", False)]
    assert not rig.hung_up


async def test_a_sentence_that_broke_off_is_not_spoken_before_the_one_that_came_in_its_place(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("when", "We op", BreakOff(), "At nine.", END)
    assert await rig.tick_ms(3000) == 8 * 5
    assert rig.brain.heard_texts == [("At nine.", False)]


@pytest.mark.parametrize("error", [BrainError("no model"), ValueError("a fault of ours")])
async def test_a_brain_that_fails_apologizes_and_goes_to_the_fallback(rigs: list[Rig], error: Exception) -> None:
    apology = Apology(np.full(24_000, 5000, np.int16), 24_000)
    rig = await conversation(rigs, apology=apology, fallback_destination="from-internal,100,1")
    await rig.say("hello", error)
    assert await rig.tick_ms(2000) >= 49
    assert rig.hung_up
    assert rig.talk.failed == "llm"
    assert str(rig.talk.next) == "from-internal,100,1"


@pytest.mark.parametrize("pieces", [("👍",), ("...", "\n", "👍"), (Say("👍"),), ("   ",), (Say("👍"), Say("..."))])
async def test_an_answer_that_cannot_be_spoken_apologizes_too(rigs: list[Rig], pieces: tuple[Piece, ...]) -> None:
    apology = Apology(np.full(24_000, 5000, np.int16), 24_000)
    rig = await conversation(rigs, apology=apology, fallback_destination="from-internal,100,1")
    rig.engine.unspeakable = ("👍", "...", "...\n👍")
    await rig.say("hello", *pieces, END)
    assert await rig.tick_ms(2000) >= 49
    assert rig.hung_up
    assert rig.talk.failed == "llm"
    assert str(rig.talk.next) == "from-internal,100,1"
    assert rig.brain.heard_texts == [("", False)]


async def test_a_filler_before_an_answer_that_cannot_be_spoken_is_no_answer(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, filler="Um.", filler_after_ms=1)
    rig.engine.unspeakable = ("👍",)
    await rig.say("hello")
    while not rig.engine.spoken:
        await rig.settle()
    rig.brain.put("👍", END)
    await rig.tick_ms(1000)
    assert rig.hung_up
    assert rig.talk.failed == "llm"


@pytest.mark.parametrize("pieces", [(), (Say("👍"), Say("Yes."))])
async def test_a_turn_with_nothing_to_say_or_some_of_it_spoken_is_no_fault(
    rigs: list[Rig], pieces: tuple[Piece, ...]
) -> None:
    rig = await conversation(rigs)
    rig.engine.unspeakable = ("👍",)
    await rig.say("hello", *pieces, END)
    assert await rig.tick_ms(1000) == (20 if pieces else 0)
    assert rig.call.state is State.ACTIVE


async def test_what_follows_an_answer_that_cannot_be_spoken_is_done(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    rig.engine.unspeakable = ("👍",)
    await rig.say("sales", "👍", Transfer("Sales"), END)
    await rig.tick_ms(200)
    assert (rig.hung_up, rig.talk.failed) == (True, "")
    assert str(rig.talk.next) == "ext-queues,400,1"
