"""A variable that no call has is named in the log, once, with the one that was meant."""

from __future__ import annotations

from structlog.testing import capture_logs

from bridge.conversation.settings import ConversationSettings
from bridge.conversation.unknown_variables import UnknownVariables

CALL = {"from": "5550100", "to": "", "name": "Ann", "line": "sales"}


def warned(texts: dict[str, str], *calls: dict[str, str]) -> list[tuple[str, str, str | None]]:
    looking = UnknownVariables()
    with capture_logs() as lines:
        for call in calls:
            looking.look("desk", ConversationSettings.model_validate(texts), call)
    return [(line["setting"], line["variable"], line.get("did_you_mean")) for line in lines]


def test_a_misspelt_variable_is_named_once_with_the_one_that_was_meant() -> None:
    texts = {"greeting": "Hello {nmae}, this is {line}.", "system_prompt": 'You sell {goods}. Answer as {"a": 1}.'}
    assert warned(texts, CALL, CALL) == [("GREETING", "nmae", "name"), ("SYSTEM_PROMPT", "goods", None)]


def test_known_variables_and_calls_that_nobody_announced_are_no_reason() -> None:
    texts = {"greeting": "Hello {name}, {from}, {to}."}
    assert warned(texts, CALL, {}) == []
