"""A caller speaks, or presses a key, while the agent speaks, thinks, greets or pauses: ticked by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import numpy as np

from bridge.brains.brain import Piece, Say
from bridge.hearing.asr.openai_realtime import OpenAiRealtime
from bridge.hearing.asr.protocol import AsrOptions
from bridge.hearing.events import Partial, SpeechStarted, SpeechStopped, Transcript
from tests.bridge.conversation.rig import END, Rig, conversation


async def test_words_cut_within_a_tick_and_nothing_stale_follows(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "One two three four five.", END)
    await rig.tick_ms(1000)
    rig.now_s += 0.015
    rig.talk.heard(SpeechStarted())
    assert await rig.tick(1) == 1  # the fade
    assert await rig.tick(50) == 0
    assert rig.talk.heard(Partial("stop")).interrupted
    assert await rig.tick(100) == 0
    assert rig.brain.heard_texts[-1] == ("One two", True)
    await rig.say("stop it", "Yes.", END)
    assert rig.brain.said == ["hello", "stop it"]
    assert await rig.tick(100) == 20
    assert rig.brain.heard_texts[-1] == ("Yes.", False)
    assert len(rig.talk._silence.silences_ms) == 1
    assert rig.talk._silence.silences_ms[0] <= 20


async def test_a_caller_who_goes_on_as_the_answer_begins_is_answered_for_both_halves(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("I would like a table", "One two three.", END)
    while not any(rig.frames):
        await rig.tick()
    await rig.tick_ms(240)
    rig.talk.heard(SpeechStarted())
    await rig.tick_ms(200)
    rig.talk.heard(Partial("on"))
    rig.talk.heard(SpeechStopped())
    await rig.say("on Sunday", "Yes.", END)
    assert rig.brain.heard_texts == [("One", True)]
    assert rig.brain.said == ["I would like a table", "I would like a table on Sunday"]
    await rig.tick_ms(1_000)
    assert rig.brain.heard_texts[-1] == ("Yes.", False)


async def test_a_cough_goes_on_from_the_very_sample(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "One two three.", END)
    voiced = await rig.tick_ms(500)
    rig.talk.heard(SpeechStarted())
    rig.talk.heard(SpeechStopped())
    assert await rig.tick_ms(900) == 0
    voiced += await rig.tick_ms(3000)
    assert voiced == 14 * 5
    assert rig.brain.heard_texts == [("One two three.", False)]
    assert "response.paused" in rig.kinds()
    assert "response.resumed" in rig.kinds()


async def test_what_was_paused_can_go_on_from_a_little_before(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, resume_rewind_ms=200)
    await rig.say("hello", "One two three.", END)
    voiced = await rig.tick_ms(600)
    rig.talk.heard(SpeechStarted())
    rig.talk.heard(SpeechStopped())
    voiced += await rig.tick_ms(400)
    rig.talk.heard(Transcript(""))
    assert voiced + await rig.tick_ms(2000) == 14 * 5 + 200 // 20, "all of it, and 200 ms of it again"
    assert rig.brain.heard_texts == [("One two three.", False)]


async def test_a_sound_while_thinking_holds_the_answer_back(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("I would like")
    rig.talk.heard(SpeechStarted())
    rig.brain.put("Here you are.", END)
    assert await rig.tick_ms(800) == 0
    await rig.say("a table", "A table.", END)
    assert await rig.tick_ms(2000) == 40
    assert rig.brain.said == ["I would like", "a table"]
    assert rig.brain.heard_texts == [("", True), ("A table.", False)]


async def test_an_answer_that_was_held_before_its_first_sound_is_not_told_to_go_on(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    lines: list[str] = []
    rig.talk.journal.followers.append(lines.append)
    await rig.say("hello")
    rig.talk.heard(SpeechStarted())
    rig.talk.heard(SpeechStopped())
    await rig.tick_ms(200)
    rig.talk.heard(Transcript(""))  # the sound was nothing
    await rig.tick_ms(200)
    assert not {"response.paused", "response.resumed"} & set(rig.kinds())
    assert json.loads(lines[-1]).get("floor") == "nobody", "the agent has said nothing yet"


async def test_a_turn_that_was_held_and_has_nothing_to_say_does_not_hold_the_next(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello")
    rig.talk.heard(SpeechStarted())
    rig.brain.put(END)
    await rig.settle()
    rig.talk.heard(SpeechStopped())
    rig.talk.say("Hello.")
    await rig.settle()
    assert await rig.tick_ms(1000) == 30


async def test_a_sound_while_thinking_that_was_nothing_lets_it_go(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "Yes.", END)
    rig.talk.heard(SpeechStarted())
    rig.talk.heard(SpeechStopped())
    assert await rig.tick_ms(900) == 0
    assert await rig.tick_ms(1000) == 20


async def test_twice_in_a_row(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    for said in ("one", "two", "three"):
        await rig.say(said, "Ten letters.", END)
        assert await rig.tick_ms(300) > 0
    rig.talk.heard(Transcript("four"))
    assert await rig.tick_ms(500) == 0
    assert rig.brain.said == ["one", "two", "three", "four"]
    assert [interrupted for _, interrupted in rig.brain.heard_texts] == [True, True, True]


async def test_between_two_sentences(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "One. ")
    rig.brain.put("Two.")
    await rig.tick_ms(400)
    assert await rig.tick_ms(100) == 0, "this is the pause between them"
    rig.talk.heard(Transcript("stop"))
    assert await rig.tick_ms(2000) == 0
    assert rig.brain.heard_texts == [("One.", True)]


async def test_on_the_last_word(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "One two.", END)
    await rig.tick_ms(760)
    rig.talk.heard(Transcript("thanks"))
    assert rig.brain.heard_texts == [("One two.", True)]


async def test_keys_cut_what_may_not_be_interrupted(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", Say("One two three.", interruptible=False), END)
    await rig.tick_ms(400)
    assert not rig.talk.heard(Transcript("stop")).interrupted
    rig.brain.put(END, "Sales.", END)
    rig.call.dtmf_received("1")
    await rig.settle()
    assert rig.brain.said == ["hello", "keys 1"]
    assert await rig.tick_ms(100) <= 1


async def test_keys_and_words_at_once_get_one_answer(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    rig.talk._digits.gap_ms = 1_500  # as with a language model
    rig.talk.digit_received("1")
    await rig.say("one")
    rig.talk.digit_received("2")
    await rig.say("two, please", "Twelve it is.", END)
    assert rig.brain.said == []
    rig.talk._digits._done()
    await rig.settle()
    assert await rig.tick_ms(2000) == 13 * 5
    assert rig.brain.said == ["one two, please keys 12"]
    assert rig.brain.heard_texts == [("Twelve it is.", False)]
    await rig.say("thanks", "Bye.", END)
    assert rig.brain.said[1:] == ["thanks"], "words after the keys have an answer of their own again"


async def test_a_turn_begun_between_a_key_and_its_end_is_over_before_the_key_counts(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    known: list[list[tuple[str, bool]]] = []

    def pressed(digits: str, said: str) -> AsyncGenerator[Piece]:
        known.append(list(rig.brain.heard_texts))
        return rig.brain.answer(f"keys {digits}")

    rig.brain.pressed = pressed  # type: ignore[assignment]
    rig.talk._digits.gap_ms = 1_500  # as with a language model
    rig.talk.digit_received("1")
    rig.talk.say("One two three.")
    await rig.settle()
    await rig.tick_ms(500)
    rig.talk._digits._done()
    await rig.settle()
    assert known == [[("One", True)]], "the brain knows what was heard before it is told the key"
    assert rig.brain.said == ["keys 1"]


async def test_what_is_said_over_the_uninterruptible_is_answered_after_it(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", Say("One two three.", interruptible=False), END)
    await rig.tick_ms(400)
    rig.talk.heard(Transcript("sales please"))
    assert await rig.tick_ms(2000) == 50
    assert rig.brain.said == ["hello", "sales please"]


async def test_a_protected_greeting(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, "Good morning to you.", greeting_protection_ms=1000)
    await rig.tick_ms(200)
    rig.talk.heard(SpeechStarted())
    rig.talk.heard(SpeechStopped())
    assert await rig.tick_ms(1000) == 50
    rig.talk.heard(SpeechStarted())
    assert await rig.tick_ms(500) <= 1


async def test_an_interrupt_from_outside_stops_the_thinking_too(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello")
    assert not rig.talk.interrupt().interrupted
    rig.brain.put("Too late.", END)
    assert await rig.tick_ms(1000) == 0
    await rig.settle()
    assert rig.brain.open == 0


async def test_an_interrupt_tells_of_what_played_and_the_history_of_the_whole_turn(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    rig.talk.say("One two.")
    second = rig.talk.say("Three four five.")
    while second.played_ms < 1000:  # ten letters of 100 ms
        await rig.tick()
    rig.talk.heard(SpeechStarted())
    cut = rig.talk.interrupt()
    assert (cut.interrupted, cut.text, cut.audio_end_ms) == (True, "Three four", 1000)
    events = {event["type"]: event for event in rig.events}
    for kind in ("response.paused", "response.interrupted"):
        assert (events[kind]["text"], events[kind]["audio_end_ms"]) == ("Three four", 1000)
    assert rig.brain.heard_texts == [("One two. Three four", True)]
    assert [entry.text for entry in rig.talk.journal.entries] == ["One two. Three four"]


async def test_a_cut_that_went_past_us_is_noticed(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "One two three. Four")
    await rig.tick_ms(500)
    rig.call.interrupt()
    rig.brain.put(" five.", END)
    assert await rig.tick_ms(1000) == 0
    assert rig.brain.heard_texts == [("One", True)]


async def test_random_cuts_leave_no_word_out_and_add_none(rigs: list[Rig]) -> None:
    """The history holds what was played, to the word, wherever the answer is cut."""
    random = np.random.default_rng(4)
    text = "One two three. Four five six. Seven eight nine."
    rig = await conversation(rigs)
    for cut_ms in random.integers(100, 5000, 50):
        await rig.say("hello", text, END)
        voiced = await rig.tick_ms(int(cut_ms) // 20 * 20)
        cut = rig.talk.interrupt()
        await rig.tick(5)
        heard, _ = rig.brain.heard_texts[-1]
        assert text.startswith(heard)
        assert cut.text == (heard if cut.interrupted else "")
        assert abs(len(heard) - voiced / 5) <= 6, "a word is at most five letters and a blank"


async def test_finals_that_come_out_of_order_around_a_barge_in_are_answered_in_the_order_of_speech(
    rigs: list[Rig],
) -> None:
    """The words that interrupt come after those said later."""
    rig = await conversation(rigs)
    service = OpenAiRealtime(AsrOptions(), now_s=lambda: rig.now_s)

    async def tell(kind: str, **fields: object) -> None:
        told = service.read(json.dumps({"type": kind, **fields}))
        for event in [] if told is None else told[0]:
            rig.talk.heard(event)
        await rig.settle()

    async def speak(item: str, before: str | None) -> None:
        await tell("input_audio_buffer.speech_started", item_id=item)
        await rig.tick_ms(400)
        await tell("input_audio_buffer.speech_stopped", item_id=item)
        await tell("input_audio_buffer.committed", item_id=item, previous_item_id=before)
        await rig.tick_ms(200)

    completed = "conversation.item.input_audio_transcription.completed"
    await rig.say("when do you open?", "We are open from nine to five on every day but Monday.", END)
    assert await rig.tick_ms(400) > 0
    await speak("one", None)
    await speak("two", "one")
    await tell(completed, item_id="two", transcript="For four people.")
    assert rig.brain.said == ["when do you open?"]
    rig.brain.put(END)
    await tell(completed, item_id="one", transcript="Stop, I want a table.")
    said = [entry.text for entry in rig.talk.journal.entries if entry.who == "user"]
    assert said[1:] == ["Stop, I want a table.", "For four people."]
    assert rig.brain.said[-1] == "For four people."
    assert rig.brain.heard_texts[0][1], "it was interrupted"
