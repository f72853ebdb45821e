"""Keys that do something at once, without the brain: over whatever is being said, and once their words were heard."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from bridge.brains.brain import HandOver, HangUp, Transfer
from bridge.brains.fixed_keys import FixedKeys
from bridge.conversation.settings import ConversationSettings
from bridge.line.call import State
from tests.bridge.conversation.rig import END, Rig, conversation
from tests.bridge.conversation.service_phone import SPEECH, phone
from tests.support.realtime_service import RealtimeService, Say

OPERATOR = {"transfer_allow": "sales=ext-queues,400,1", "fixed_keys": "0=sales|One moment.; 9=hangup"}


async def test_a_fixed_key_ends_what_is_being_said_and_transfers_without_asking_the_brain(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, **OPERATOR)
    await rig.say("hello", "One two three four five.", END)
    await rig.tick_ms(300)
    rig.talk.digit_received("0")
    await rig.settle()
    assert await rig.tick_ms(2_000) == 55, "its words are heard whole: eleven letters of 100 ms"
    assert rig.brain.said == ["hello"]
    assert (rig.call.state, str(rig.talk.next)) == (State.ENDING, "ext-queues,400,1")


async def test_a_key_without_words_acts_at_once_and_others_go_to_the_brain(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, **OPERATOR)
    rig.talk.digit_received("5")
    await rig.settle()
    assert rig.brain.said == ["keys 5"]
    rig.brain.put(END)
    rig.talk.digit_received("9")
    await rig.settle()
    assert (rig.call.state, str(rig.talk.next)) == (State.ENDING, "hangup")


async def test_digits_being_entered_have_precedence(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, **OPERATOR)
    rig.talk._digits.gap_ms = 1_500  # as with a language model
    rig.talk.digit_received("1")
    rig.talk.digit_received("0")
    rig.talk._digits._done()
    await rig.settle()
    assert rig.brain.said == ["keys 10"]
    assert rig.call.state is State.ACTIVE


async def test_with_a_speech_to_speech_service_too_what_the_caller_says_after_the_key_changes_nothing() -> None:
    keys = {"transfer_allow": "boss=ext,201,1", "fixed_keys": "0=boss|One moment please, I connect you to my boss now."}
    wants = Say("But wait, there is more.", 2_000, tools=[("hangup", {})])
    async with RealtimeService(wants) as service, phone(service, **keys) as call:
        await service.until(lambda: service.sessions and service.session.events)
        call.caller.handset.press("0")
        await call.caller.voice(call.caller.dialled_s)
        call.caller.speak(SPEECH)
        assert await call.next() == "ext,201,1"
        assert ("agent", "One moment please, I connect you to my boss now.", False) in call.texts()
        assert not any("wait" in text for _, text, _ in call.texts()), "the service's answer is not heard"
        assert any(event["type"] == "response.cancel" for event in service.session.events)


def test_what_keys_may_be() -> None:
    keys = FixedKeys(" 0 = sales | Hold on, {name}. ;9=hangup; *=agent: shop;#=ext-queues,400,1")
    assert [type(key.action) for digit in "0*9#" if (key := keys.get(digit))] == [Transfer, HandOver, HangUp, Transfer]
    assert keys.agents == ["shop"]
    assert isinstance((key := keys.get("9")) and key.action, HangUp)
    assert keys.get("1") is None


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("x=hangup", "is not KEY=PLACE"),
        ("0=hangup;0=fallback", "stands there twice"),
        ("0=boss", "is no destination"),
        ("0=agent:shop", "without AGENTS"),
    ],
)
def test_a_wrong_key_is_told_at_the_start(keys: str, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        ConversationSettings.model_validate({"fixed_keys": keys, "transfer_allow": "sales=ext-queues,400,1"})
