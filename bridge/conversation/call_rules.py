"""Makes the rules of a call's turns out of its settings and variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.conversation.settings import AUTO, ConversationSettings, parted
from bridge.turns.end_of_turn import EndOfTurn, ExpectedDigits
from bridge.turns.rules import Rules
from bridge.turns.words import BACKCHANNELS, Backchannels

MOST_NUMBER: Final = 10_000
"""The longest pause, in ms, that a call may ask for."""
FINAL_TIMEOUT_MS: Final = 3_000
"""A service that has given words but no final transcript for this long has lost it."""
EMBEDDED_FINAL_TIMEOUT_MS: Final = 15_000
"""The embedded recogniser loses nothing, but is slow on a busy machine."""


def end_rules(settings: ConversationSettings, variables: Mapping[str, str]) -> EndOfTurn:
    """Returns when a caller's turn ends, in a call with these variables."""
    length, terminator = _number(variables, "expect_digits"), variables.get("digits_end", "").strip()
    expected = ExpectedDigits(length or 0, terminator, settings.digits_pause_ms)
    return EndOfTurn(
        silence_ms=settings.end_silence_ms,
        quick_ms=settings.end_quick_ms,
        patience_ms=_number(variables, "patience_ms") or settings.end_patience_ms,
        language=settings.asr_language or "en",
        digits=expected if length is not None or terminator else None,
    )


def turn_rules(settings: ConversationSettings) -> Rules:
    """Returns the rules for the turns of a call."""
    is_embedded = settings.asr_protocol == "embedded"
    languages = (settings.asr_language or "en",) if settings.backchannels == AUTO else parted(settings.backchannels)
    phrases = [phrase for language in languages for phrase in BACKCHANNELS.get(language, ())]
    return Rules(
        min_interrupt_words=settings.min_interrupt_words,
        false_interruption_timeout_ms=settings.false_interruption_timeout_ms,
        final_timeout_ms=EMBEDDED_FINAL_TIMEOUT_MS if is_embedded else FINAL_TIMEOUT_MS,
        echo_guard_ms=settings.echo_guard_ms,
        no_input_timeout_ms=settings.no_input_timeout_ms,
        unclear_timeout_ms=settings.unclear_timeout_ms,
        early_answers=settings.early_ms > 0,
        backchannels=Backchannels(phrases),
    )


def _number(variables: Mapping[str, str], name: str) -> int | None:
    """Returns a variable that holds a number from 0 to MOST_NUMBER; None where there is none or it holds another."""
    value = variables.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 6 and int(value) <= MOST_NUMBER else None
