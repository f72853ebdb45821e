"""Warns of a `{name}` in an agent's texts that calls do not have: nothing fills it, and nobody would notice."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

import structlog

from bridge.brains.brain import variables_in
from bridge.conversation.settings import ConversationSettings

log = structlog.get_logger(__name__)

MAX_WARNED: Final = 1_000
"""How many names are warned of; a process that has found more has been told enough."""


class UnknownVariables:
    """Warns once of each name of each agent."""

    def __init__(self) -> None:
        self._warned: set[tuple[str, str]] = set()

    def look(self, agent: str, settings: ConversationSettings, variables: Mapping[str, str]) -> None:
        """Looks for names in the agent's texts that an announced call with these variables does not have."""
        if not variables:
            return  # nobody announced the call: it has no names at all
        texts = {
            "GREETING": settings.greeting,
            "SYSTEM_PROMPT": settings.system_prompt,
            "VOICEMAIL_MESSAGE": settings.voicemail_message,
        }
        for setting, text in texts.items():
            for name in variables_in(text) - variables.keys():
                if (agent, name) in self._warned or len(self._warned) >= MAX_WARNED:
                    continue
                self._warned.add((agent, name))
                nearest = get_close_matches(name, variables, 1)
                meant = {"did_you_mean": nearest[0]} if nearest else {}
                log.warning("a call does not have this variable", agent=agent, setting=setting, variable=name, **meant)
