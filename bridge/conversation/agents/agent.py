"""An agent: the settings of its calls, and what was read from the files that they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self

from bridge.brains.agent_tools import AgentTools
from bridge.brains.destinations import Destinations
from bridge.brains.http_tool import HttpTool
from bridge.brains.script import DEFAULT_SCRIPT, Script, load_script
from bridge.brains.tools import load_tools
from bridge.conversation.settings import ConversationSettings
from engine.lexicon import Lexicon
from engine.speech import Style

DEFAULT: Final = "default"
"""The name of the agent that the settings of the server describe."""


@dataclass(frozen=True, slots=True)
class Agent:
    """Who answers a call, and how. It never changes: a call in progress keeps the agent that it began with."""

    name: str
    settings: ConversationSettings
    """The server's settings, with those of the agent's section and of the language that it speaks in their place."""
    script: Script
    tools: list[HttpTool]
    destinations: Destinations
    numbers: tuple[str, ...] = ()
    """The numbers, or patterns of numbers, at which it answers."""
    description: str = ""
    """What it is there for, in one line for the agents that hand calls over to it."""
    hands_over_to: tuple[str, ...] = ()
    lexicon: Lexicon | None = None
    """How it pronounces words."""
    languages: Mapping[str, ConversationSettings] = field(default_factory=dict)
    """Its settings in each language that it may change to in the middle of a call."""

    @classmethod
    def load(cls, name: str, settings: ConversationSettings) -> Self:
        """Returns an agent with these settings, and reads the files that they name. Raises ValueError."""
        return cls(
            name,
            settings,
            script=load_script(settings.script or DEFAULT_SCRIPT),
            tools=load_tools(settings.llm_tools) if settings.llm_tools is not None else [],
            destinations=Destinations(settings.transfer_allow, settings.transfer_warm),
        )

    @property
    def style(self) -> Style:
        """How it speaks."""
        return replace(self.settings.style, lexicon=self.lexicon)

    @property
    def language(self) -> str:
        """The language of its calls before a word was said; empty if nobody knows."""
        return self.settings.voice_language or self.settings.asr_language.lower()[:2]

    @property
    def brain(self) -> str:
        """The model or script that thinks for it, for an administrator."""
        if self.settings.llm_base_url:
            return self.settings.llm_model
        return self.settings.script.name if self.settings.script is not None else "the built-in script"

    def speaking(self, language: str = "", voice: str = "") -> Self:
        """Returns this agent as it speaks that language, an ISO 639-1 code, with that voice; empty for its own."""
        settings = self.settings
        if language and language in self.languages:
            settings = self.languages[language]
        elif language and language != self.language:
            settings = settings.model_copy(update=language_of(settings, language))
        if voice:
            settings = settings.model_copy(update={"voice": voice})
        return self if settings is self.settings else replace(self, settings=settings)

    def agent_tools(self, agents: Mapping[str, Agent]) -> AgentTools:
        """Returns the tools by which a model hands over to some of `agents`, and changes the language."""
        targets = {name: agents[name].description for name in self.hands_over_to if name in agents}
        return AgentTools(targets, tuple(self.languages))


def language_of(settings: ConversationSettings, language: str) -> dict[str, str]:
    """Returns the settings that name the language; a recogniser that decides by itself goes on doing so."""
    return {"voice_language": language, **({"asr_language": language} if settings.asr_language else {})}
