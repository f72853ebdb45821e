"""Voicemail and menus that answer are known for what they are; a message waits for the beep. Ticked by hand."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from pydantic import ValidationError

from bridge.conversation.answering_machine import AnsweringMachine, Do
from bridge.conversation.journal import Journal
from bridge.conversation.settings import ConversationSettings
from bridge.hearing.events import Beep, Partial, SpeechStarted, SpeechStopped, Transcript
from bridge.line.call import State
from tests.bridge.conversation.rig import END, Rig

GREETING = "You have reached the mailbox of Ada Byron. Please leave a message after the tone."


async def called(rigs: list[Rig], variables: Mapping[str, str], **settings: object) -> Rig:
    """Returns a call to somebody, which has just been answered."""
    rig = Rig("Good morning, this is the museum.", variables=variables, **settings)
    rigs.append(rig)
    rig.talk.start()
    await rig.settle()
    return rig


def told(rig: Rig) -> list[tuple[object, object]]:
    return [(event["who"], event["by"]) for event in rig.events if event["type"] == "call.answered_by"]


MESSAGE = {"on_voicemail": "message", "voicemail_message": "Your book is here, {name}."}


async def test_a_message_is_said_after_the_beep_and_the_call_ends(rigs: list[Rig]) -> None:
    rig = await called(rigs, {"amd": "MACHINE", "name": "Ada"}, no_input_timeout_ms=2_000, **MESSAGE)
    rig.talk.heard(SpeechStarted(300))
    rig.talk.heard(Partial(GREETING))
    assert await rig.tick_ms(12_000) == 0, "neither a greeting nor a prompt is said into the machine's own words"
    rig.talk.heard(SpeechStopped(11_900))
    rig.talk.heard(Transcript(GREETING))
    assert await rig.tick_ms(500) == 0
    rig.talk.heard(Beep(12_500))
    await rig.tick_ms(200)
    assert [text for text, _ in rig.engine.spoken] == ["Your book is here, Ada."]
    await rig.tick_ms(4_000)
    assert rig.hung_up
    assert rig.brain.said == []
    assert rig.talk.describe()["answered_by"] == "voicemail"
    assert told(rig) == [("voicemail", "amd")]


async def test_a_machine_that_does_not_beep_is_spoken_to_once_it_is_silent(rigs: list[Rig]) -> None:
    rig = await called(rigs, {"amd": "MACHINE"}, **MESSAGE)
    rig.talk.heard(SpeechStarted(300))
    await rig.tick_ms(9_000)
    rig.talk.heard(SpeechStopped(9_000))
    assert await rig.tick_ms(3_900) == 0
    await rig.tick_ms(300)
    assert len(rig.engine.spoken) == 1


async def test_the_words_of_a_machine_are_enough_and_end_the_greeting(rigs: list[Rig]) -> None:
    rig = await called(rigs, {"amd": ""}, **MESSAGE)
    assert await rig.tick_ms(500) == 25, "the agent greets, for nobody knows who has answered"
    rig.talk.heard(SpeechStarted(400))
    rig.talk.heard(Partial("Please leave your message after the"))
    await rig.tick()
    assert await rig.tick_ms(3_000) == 0
    rig.talk.heard(SpeechStopped(3_300))
    rig.talk.heard(Beep(3_600))
    await rig.tick_ms(200)
    assert [text for text, _ in rig.engine.spoken][-1] == "Your book is here, ."
    assert told(rig) == [("voicemail", "words")]


async def test_the_call_ends_where_no_message_is_wanted(rigs: list[Rig]) -> None:
    rig = await called(rigs, {"amd": "MACHINE"}, on_voicemail="hang_up")
    await rig.tick_ms(100)
    assert rig.hung_up
    assert rig.engine.spoken == []


async def test_by_default_the_conversation_goes_on_and_is_told_of_it(rigs: list[Rig]) -> None:
    rig = await called(rigs, {"amd": "MACHINE"})
    assert await rig.tick_ms(200) > 0
    assert told(rig) == [("voicemail", "amd")]
    rig.talk.interrupt()
    await rig.say(GREETING, "Hello.", END)
    assert rig.brain.said == [GREETING]


async def test_a_person_who_calls_in_may_speak_of_messages(rigs: list[Rig]) -> None:
    rig = await called(rigs, {}, **MESSAGE)
    rig.talk.interrupt()
    await rig.say("Can I leave a message after the tone?", "Of course.", END)
    rig.talk.heard(Beep(2_000))
    await rig.tick_ms(2_000)
    assert rig.call.state is State.ACTIVE
    assert (rig.brain.said, told(rig)) == (["Can I leave a message after the tone?"], [])


@pytest.mark.parametrize(
    ("text", "who"),
    [
        (GREETING, "voicemail"),
        ("I am not available right now.", "voicemail"),
        ("Please record your message.", "voicemail"),
        ("For sales, press one. For support, press two.", "menu"),
        ("Hello?", ""),
        ("Yes, this is Ada speaking.", ""),
        ("I will press on with it.", ""),
    ],
)
def test_words_that_only_a_machine_says(text: str, who: str) -> None:
    machine = AnsweringMachine({"amd": "NOTSURE"}, "go_on", Journal("1", lambda: 0), lambda: 0.0)
    assert machine.at_start() is None
    assert machine.heard(Transcript(text)) is None
    assert machine.answered_by == who


def test_a_person_known_to_asterisk_is_not_taken_for_a_machine_by_a_tone() -> None:
    machine = AnsweringMachine({"amd": "HUMAN"}, "hang_up", Journal("1", lambda: 0), lambda: 0.0)
    assert machine.at_start() is None
    assert machine.heard(Beep(900)) is None
    assert machine.answered_by == "person"
    assert machine.heard(Transcript(GREETING)) is Do.HANG_UP, "its words give the machine away all the same"


def test_after_half_a_minute_nobody_is_a_machine_any_more() -> None:
    now_s = [0.0]
    machine = AnsweringMachine({"amd": ""}, "hang_up", Journal("1", lambda: 0), lambda: now_s[0])
    now_s[0] = 31
    assert machine.heard(Transcript("Leave a message after the tone")) is None


def test_a_message_has_to_be_written() -> None:
    with pytest.raises(ValidationError, match="must not be empty with ON_VOICEMAIL=message"):
        ConversationSettings.model_validate({"on_voicemail": "message"})
