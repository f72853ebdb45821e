"""A conversation, ticked by hand: greeting, answers, history, announcements and endings."""

from __future__ import annotations

import asyncio

import pytest

from bridge.brains.brain import EndText, Fallback, HangUp, Piece, Transfer
from bridge.brains.destinations import NotAllowed
from bridge.hearing.events import SpeechStarted, SpeechStopped, Transcript
from bridge.line.call import State
from engine.text import SentenceSplitter
from tests.bridge.conversation.rig import END, Rig, conversation


async def test_it_greets_and_answers_and_remembers_what_was_heard(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, "Hello.")
    assert await rig.tick_ms(2000) == 30  # six letters of 100 ms
    assert rig.brain.heard_texts == [("Hello.", False)]
    await rig.say("a table", "For how ", "many?", END)
    assert await rig.tick_ms(3000) == 65
    assert rig.brain.said == ["a table"]
    assert rig.brain.heard_texts[-1] == ("For how many?", False)
    assert [(entry.who, entry.text) for entry in rig.talk.journal.entries] == [
        ("agent", "Hello."),
        ("user", "a table"),
        ("agent", "For how many?"),
    ]
    assert rig.kinds() == [
        "call.started",
        *("response.started", "transcript.agent", "response.done"),
        "transcript.user",
        *("response.started", "transcript.agent", "response.done"),
    ]


async def test_words_before_a_tool_are_heard_while_it_is_at_work(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("a table", "I see.", EndText())
    assert await rig.tick_ms(1000) == 30
    rig.brain.put("Done.", END)
    await rig.settle()
    assert await rig.tick_ms(1000) == 25
    assert rig.brain.heard_texts == [("I see. Done.", False)]


@pytest.mark.parametrize(
    ("action", "destination"),
    [
        (Transfer("Sales"), "ext-queues,400,1"),
        (HangUp(), "hangup"),
        (Fallback(), "from-internal,100,1"),
        (Transfer("macro-evil,s,1"), "from-internal,100,1"),
    ],
)
async def test_the_end_comes_after_the_last_word(rigs: list[Rig], action: Piece, destination: str) -> None:
    rig = await conversation(rigs, fallback_destination="from-internal,100,1")
    await rig.say("sales", "Right away.", action, END)
    assert await rig.tick_ms(1000) == 50
    assert not rig.hung_up
    assert await rig.tick_ms(400) == 5
    assert rig.hung_up
    assert str(rig.talk.next) == destination


async def test_an_interrupted_goodbye_does_not_end_the_call(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("bye", "Goodbye then.", HangUp(), END)
    await rig.tick_ms(400)
    await rig.say("no wait", "Yes?", END)
    await rig.tick_ms(2000)
    assert not rig.hung_up
    assert rig.call.state is State.ACTIVE
    assert str(rig.talk.next) == ""


async def test_a_goodbye_that_is_being_drained_is_not_interrupted(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "Something long to say.", END)
    await rig.tick_ms(200)
    rig.talk.heard(SpeechStarted())
    rig.talk.hang_up("Goodbye.", "sales")
    await rig.settle()
    rig.talk.heard(Transcript("but I"))
    assert await rig.tick_ms(1000) >= 40
    assert rig.hung_up
    assert str(rig.talk.next) == "ext-queues,400,1"
    with pytest.raises(NotAllowed):
        rig.talk.hang_up("", "macro-evil,s,1")


async def test_an_answer_that_comes_too_late_does_not_cut_the_goodbye(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello")
    rig.talk.say("Goodbye now.")
    await rig.settle()
    voiced = await rig.tick_ms(200)
    rig.talk.hang_up()
    rig.brain.put("Too late.", END)
    assert voiced + await rig.tick_ms(2000) == 60
    assert rig.hung_up


async def test_where_a_call_goes_is_not_for_the_brain_once_it_was_told_from_outside(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("bye", "Goodbye then.", HangUp(), END)
    await rig.tick_ms(400)
    rig.talk.hang_up("", "sales")
    await rig.tick_ms(2000)
    assert rig.hung_up
    assert str(rig.talk.next) == "ext-queues,400,1"


async def test_an_announcement_is_part_of_the_conversation(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    rig.talk.say("Your taxi is here.")
    await rig.settle()
    await rig.tick_ms(900)
    assert rig.talk.heard(Transcript("thank you")).text == "Your taxi"
    await rig.settle()
    assert rig.brain.heard_texts == [("Your taxi", True)]
    assert rig.brain.said == ["thank you"]


async def test_a_slow_answer_gets_one_filler_and_both_are_remembered(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, filler="Um.", filler_after_ms=1)
    await rig.say("hello")
    await asyncio.sleep(0.01)
    await rig.settle()
    assert await rig.tick_ms(500) == 15
    rig.brain.put("Yes.", END)
    await rig.settle()
    assert await rig.tick_ms(500) == 20
    assert rig.brain.heard_texts == [("Um. Yes.", False)]


async def test_no_filler_is_said_behind_an_answer_that_stopped_in_its_first_sentence(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, filler="Um.", filler_after_ms=1)
    await rig.say("hello", "It is ")
    await asyncio.sleep(0.01)
    await rig.settle()
    assert await rig.tick_ms(500) == 0
    rig.brain.put("here.", END)
    await rig.settle()
    await rig.tick_ms(1_500)
    assert rig.brain.heard_texts == [("It is here.", False)]


@pytest.mark.parametrize(
    "text", ["Here is one more sentence. " * 4_000, "and so on " * 10_000, "\n" * 100_000 + "Here."]
)
async def test_an_answer_that_comes_all_at_once_is_split_piece_by_piece(
    rigs: list[Rig], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Splitting 100,000 characters takes a tenth of a second or more, and frames of other calls are due meanwhile."""
    rig = await conversation(rigs)
    turn, fed = 0, {0: 0}
    feed = SentenceSplitter.feed

    def next_turn() -> None:
        nonlocal turn
        turn += 1
        asyncio.get_running_loop().call_soon(next_turn)

    def count(self: SentenceSplitter, piece: str) -> list[str]:
        fed[turn] = fed.get(turn, 0) + len(piece)
        return feed(self, piece)

    monkeypatch.setattr(SentenceSplitter, "feed", count)
    asyncio.get_running_loop().call_soon(next_turn)
    rig.brain.put(text, END)
    rig.talk.heard(Transcript("hello"))
    while not rig.engine.spoken:
        await rig.settle()
    await rig.tick_ms(200)
    # The trace looks only for the first sentence, and the engine is given one slice in each turn of the loop.
    assert max(fed.values()) <= 1_000
    assert rig.engine.spoken[0][0] == text.strip()[: len(rig.engine.spoken[0][0])]


async def test_silence_of_both_prompts(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, no_input_timeout_ms=3000)
    await rig.tick_ms(4000)
    assert rig.brain.said == ["silence"]


async def test_the_trace_of_a_turn(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    rig.talk.heard(SpeechStarted(0))
    await rig.tick_ms(1000)
    rig.talk.heard(SpeechStopped(600))
    await rig.tick_ms(200)
    await rig.say("hello")
    await rig.tick_ms(100)
    rig.brain.put("Yes. ")
    await rig.tick_ms(100)
    rig.brain.put("No.", END)
    await rig.tick_ms(3000)
    entry = rig.talk.journal.entries[-1]
    assert entry.trace == {
        "speech_end_ms": 0,
        "end_known_ms": 400,
        "transcript_ms": 600,
        "first_token_ms": 720,
        "first_sentence_ms": 820,
        "first_audio_ms": 820,
        "first_frame_ms": 840,
    }
