"""What the conversations of a process share: it starts, or says what is missing, and closes whatever came of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from bridge.asr import embedded
from bridge.conversation_settings import ConversationSettings
from bridge.conversations import Conversations
from tests.fakes import FakeEngine


def conversations(**settings: object) -> Conversations:
    return Conversations(ConversationSettings.model_validate(settings), FakeEngine(), CollectorRegistry())


async def test_closing_what_never_started() -> None:
    await conversations().close()


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
