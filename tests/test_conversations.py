"""What the conversations of a process share: it starts, or says what is missing, and closes whatever came of it."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry

from bridge.asr import embedded
from bridge.call import Call, Wire
from bridge.calls import ENDED_KEPT, Calls
from bridge.conversation_settings import ConversationSettings
from bridge.conversations import Conversations
from engine.speech import Style
from tests.fakes import FakeEngine


def conversations(**settings: object) -> Conversations:
    return Conversations(ConversationSettings.model_validate(settings), FakeEngine(), CollectorRegistry())


async def test_closing_what_never_started() -> None:
    await conversations().close()


class NoWire:
    """Nobody listens."""

    def send(self, frame: bytes) -> None:
        pass

    def hang_up(self) -> None:
        pass


async def test_a_call_that_is_remembered_has_its_conversation_however_long_it_was() -> None:
    shared = conversations()
    await shared.start()

    def create(call_id: UUID, wire: Wire) -> Call:
        call = Call(call_id, wire, FakeEngine(), Style())
        shared.attach(call, {})
        return call

    def end(call: Call) -> None:
        calls.remove(call)
        call.end("hung up")

    calls = Calls(create, max_calls=3)
    live, long = (calls.admit(uuid4(), NoWire()) for _ in range(2))
    short = [uuid4() for _ in range(ENDED_KEPT + 10)]
    for call_id in short:
        end(calls.admit(call_id, NoWire()))
    end(long)
    for call_id in (live.id, long.id, *short):
        assert (shared.find(call_id) is None) == (calls.find(call_id) is None)
    for call in (live, long):
        conversation = shared.find(call.id)
        assert conversation is not None
        assert conversation.call is call
    assert [shared.find(call_id) for call_id in short[:11]] == [None] * 11, "a live call keeps no ended ones"
    end(live)
    await shared.close()


async def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    shared = conversations(asr_protocol="embedded")
    with pytest.raises(OSError, match=r"pip install 'talkspurt\[demo\]'"):
        await shared.start()
    await shared.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"asr_url": "http://asr"}, "must start with ws"),
        ({"llm_base_url": "localhost:8000"}, "must start with http"),
        ({"llm_base_url": "http://x/v1"}, "must name the model"),
        ({"backchannels": "en,xx"}, "must be languages out of en, de"),
        ({"transfer_allow": "400"}, "must be an allow-list"),
        ({"fallback_destination": "400"}, "context,extension,priority"),
        ({"script": Path("/nowhere.yaml")}, "must be a dialogue: .*No such file"),
        ({"llm_tools": Path("/nowhere.yaml")}, "must be a tool file: .*No such file"),
    ],
)
def test_a_wrong_setting_says_what_is_allowed(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConversationSettings.model_validate(settings)
