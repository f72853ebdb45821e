"""What a call says first that goes on where an earlier one left off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.brains.brain import fill
from bridge.conversation.memory import CUT_OFF, Memory
from bridge.conversation.settings import ConversationSettings

SAID: Final = "said"
"""The variable of CUT_OFF that holds what the caller said last."""


def first_words(settings: ConversationSettings, earlier: Memory, variables: Mapping[str, str]) -> tuple[str, bool]:
    """Returns what a script says first, and whether a language model's agent says it too, at once."""
    if CUT_OFF not in variables:
        return settings.transfer_failed, False
    return fill(settings.cut_off, {**variables, SAID: earlier.said()}), True
