"""An answer that was begun early is heard at once, or never. Ticked by hand."""

from __future__ import annotations

import pytest

from bridge.brains.brain import BrainError, HangUp, Piece
from bridge.hearing.events import Partial, SpeechPaused, SpeechResumed, SpeechStarted, SpeechStopped, Transcript
from tests.bridge.conversation.rig import END, Rig, conversation


async def paused(rigs: list[Rig], *pieces: Piece | Exception | None, said: str = "two pizzas") -> Rig:
    """Returns a call whose caller has said these words and paused."""
    rig = await conversation(rigs, early_answer_ms=100)
    rig.talk.heard(SpeechStarted(0))
    await rig.tick_ms(1_000)
    rig.talk.heard(Partial(said))
    rig.brain.put(*pieces)
    rig.talk.heard(SpeechPaused(900))
    await rig.settle()
    return rig


def outcomes(rig: Rig, what: str = "early_answers") -> dict[str, float]:
    counted = getattr(rig.talk._metrics, what).collect()[0].samples
    return {sample.labels["outcome"]: sample.value for sample in counted if sample.name.endswith("_total")}


async def test_it_is_made_and_held_and_heard_as_soon_as_the_words_are_certain(rigs: list[Rig]) -> None:
    rig = await paused(rigs, "Of course.", END)
    assert rig.brain.said == ["two pizzas"]
    assert [sentence for sentence, _ in rig.engine.spoken] == ["Of course."]
    assert await rig.tick_ms(400) == 0, "it is made, and not heard"
    rig.talk.heard(SpeechStopped(900))
    rig.talk.heard(Transcript("Two pizzas."))
    assert rig.talk._turns.agent.value == "thinking"
    assert await rig.tick_ms(20) == 1, "at the very next tick"
    assert await rig.tick_ms(2_000) == 49
    assert (rig.brain.said, rig.brain.confirmed, rig.brain.taken_back) == (["two pizzas"], 1, 0)
    assert rig.brain.heard_texts == [("Of course.", False)]
    assert [(entry.who, entry.text) for entry in rig.talk.journal.entries] == [
        ("user", "Two pizzas."),
        ("agent", "Of course."),
    ]
    assert outcomes(rig) == {"used": 1}
    assert outcomes(rig, "early_tokens") == {"used": 1}
    trace = rig.talk.journal.entries[-1].trace
    assert trace is not None
    assert trace["first_frame_ms"] <= 540, "counted from the caller's last sound at 900 ms"


async def test_other_words_drop_it_without_a_trace(rigs: list[Rig]) -> None:
    rig = await paused(rigs, "Of course.", END)
    await rig.tick_ms(400)
    rig.talk.heard(SpeechStopped(900))
    await rig.say("to Pisa", "By train?", END)
    assert (rig.brain.said, rig.brain.confirmed, rig.brain.taken_back) == (["two pizzas", "to Pisa"], 0, 1)
    assert await rig.tick_ms(2_000) == 45
    assert rig.brain.heard_texts == [("By train?", False)]
    assert [entry.text for entry in rig.talk.journal.entries] == ["to Pisa", "By train?"]
    assert not {"response.paused", "response.resumed", "response.interrupted"} & set(rig.kinds())
    assert outcomes(rig) == {"wasted": 1}
    assert outcomes(rig, "early_tokens") == {"wasted": 1}


async def test_a_caller_who_goes_on_drops_it(rigs: list[Rig]) -> None:
    rig = await paused(rigs)
    rig.talk.heard(SpeechResumed())
    rig.talk.heard(Partial("two pizzas and"))
    await rig.settle()
    assert rig.brain.open == 0
    assert outcomes(rig) == {"wasted": 1}
    rig.talk.heard(Partial("two pizzas and a cola"))
    rig.brain.put("Of course.", END)
    rig.talk.heard(SpeechPaused(2_000))
    rig.talk.heard(SpeechStopped(2_000))
    rig.talk.heard(Transcript("two pizzas and a cola"))
    assert await rig.tick_ms(2_000) == 50
    assert rig.brain.said == ["two pizzas", "two pizzas and a cola"]


async def test_an_answer_that_is_still_being_made_goes_on_when_it_is_confirmed(rigs: list[Rig]) -> None:
    rig = await paused(rigs, "Of ")
    rig.talk.heard(SpeechStopped(900))
    rig.talk.heard(Transcript("two pizzas"))
    rig.brain.put("course.", END)
    assert await rig.tick_ms(2_000) == 50
    assert rig.brain.heard_texts == [("Of course.", False)]


@pytest.mark.parametrize("pieces", [(END,), (HangUp(), END)])
async def test_what_it_does_is_done_only_when_it_is_confirmed(rigs: list[Rig], pieces: tuple[Piece | None]) -> None:
    rig = await paused(rigs, *pieces)
    await rig.tick_ms(400)
    assert rig.brain.heard_texts == []
    assert not rig.hung_up
    rig.talk.heard(SpeechStopped(900))
    rig.talk.heard(Transcript("two pizzas"))
    await rig.tick_ms(100)
    assert rig.brain.heard_texts == [("", False)]
    assert rig.hung_up is (HangUp() in pieces)
    assert rig.talk._turns.agent.value == "idle"


async def test_one_that_fails_is_tried_again_when_the_words_are_certain(rigs: list[Rig]) -> None:
    rig = await paused(rigs, BrainError("no model"))
    await rig.tick_ms(400)
    assert rig.talk.failed == ""
    rig.talk.heard(SpeechStopped(900))
    await rig.say("two pizzas", "Of course.", END)
    assert await rig.tick_ms(2_000) == 50
    assert rig.brain.said == ["two pizzas", "two pizzas"]
    assert rig.brain.taken_back == 1


async def test_an_announcement_drops_it_and_is_heard(rigs: list[Rig]) -> None:
    rig = await paused(rigs, "Of course.", END)
    rig.talk.say("Hello.")
    rig.talk.heard(SpeechStopped(900))
    await rig.settle()
    rig.talk.heard(Transcript(""))
    assert await rig.tick_ms(2_000) == 30
    assert rig.brain.heard_texts == [("Hello.", False)]


async def test_a_goodbye_does_not_let_it_be_heard(rigs: list[Rig]) -> None:
    rig = await paused(rigs, "Of course.", END)
    rig.talk.hang_up()
    assert await rig.tick_ms(1_000) == 0
    assert rig.hung_up


async def test_a_server_that_stops_does_not_let_it_be_heard(rigs: list[Rig]) -> None:
    rig = await paused(rigs, "Of course.", END)
    rig.call.hang_up()
    assert await rig.tick_ms(1_000) == 0
    assert rig.hung_up
    assert rig.brain.taken_back == 1


async def test_off_by_default(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    rig.talk.heard(SpeechStarted(0))
    rig.talk.heard(Partial("two pizzas"))
    rig.talk.heard(SpeechPaused(900))
    rig.talk.heard(SpeechStopped(900))
    await rig.settle()
    assert rig.brain.said == []
