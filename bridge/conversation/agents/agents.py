"""The agents of a server, and which of them takes a call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import structlog

from bridge.conversation.agents.agent import Agent
from bridge.number_pattern import compile_number
from engine.lexicon import Lexicon

log = structlog.get_logger(__name__)

_SEPARATORS: Final = str.maketrans("", "", " -/().")
"""What people write between the digits of a number."""


class UnknownAgent(Exception):
    """There is no agent of that name. The text says which name may have been meant."""


class Agents:
    """The agents by name; one of them takes the calls that none was chosen for."""

    def __init__(self, agents: Sequence[Agent], default: str, lexicon: Lexicon | None = None) -> None:
        self.lexicon = lexicon
        """How words are pronounced where no agent speaks."""
        if lexicon is not None:
            agents = [replace(agent, lexicon=lexicon.of_agent(agent.name)) for agent in agents]
        self.by_name: Mapping[str, Agent] = {agent.name: agent for agent in agents}
        self.default = self.by_name[default]
        patterns = [(number, agent) for agent in agents for number in agent.numbers]
        patterns.sort(key=lambda pair: not pair[0].lstrip("+").isdigit())  # a number counts more than a pattern
        self._numbers = [(compile_number(number), agent) for number, agent in patterns]

    def __iter__(self) -> Iterator[Agent]:
        return iter(self.by_name.values())

    @property
    def record_folders(self) -> set[Path]:
        """Where their calls are recorded."""
        settings = (each for agent in self for each in (agent.settings, *agent.languages.values()))
        return {each.record_dir for each in settings if each.record_dir is not None}

    def find(self, name: str) -> Agent:
        """Returns the agent of that name. Raises UnknownAgent."""
        if name not in self.by_name:
            raise UnknownAgent(f"there is no agent {name[:80]!r}{meant(name, self.by_name)}")
        return self.by_name[name]

    def choose(self, variables: Mapping[str, str]) -> Agent:
        """Returns the agent for a call: the one that `agent` names, or whose number was called, or the default.

        It speaks the `language`, and with the `voice`, that the variables name.
        """
        agent = self._of_number(variables.get("to", "")) or self.default
        if name := variables.get("agent"):
            try:
                agent = self.find(name)
            except UnknownAgent as error:  # it was there when the call was announced, or another system told its name
                log.warning("the call goes to another agent", reason=str(error), agent=agent.name)
        return agent.speaking(language_code(variables.get("language", "")), variables.get("voice", ""))

    def _of_number(self, number: str) -> Agent | None:
        number = number.translate(_SEPARATORS)
        return next((agent for pattern, agent in self._numbers if pattern.fullmatch(number)), None)


def language_code(text: str) -> str:
    """Returns the ISO 639-1 code in `de`, `de-AT` or `de_AT`; an empty text where there is none."""
    code = text[:2].lower()
    return code if code.isascii() and code.isalpha() and len(code) == 2 and text[2:3] in ("", "-", "_") else ""


def meant(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    """Returns the end of a message about an unknown name: the one that is most like it, or all that there are."""
    nearest = get_close_matches(name, list(known), 1)
    return f"; did you mean {nearest[0]!r}?" if nearest else f"; there are {', '.join(known)}"
