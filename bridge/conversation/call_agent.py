"""The agent of one call: another one may take the call over, and each may change the language."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from bridge.brains.brain import Brain, HandOver, Piece
from bridge.conversation.agents.agent import Agent
from bridge.conversation.agents.agents import Agents
from bridge.conversation.reply import Filler
from bridge.conversation.settings import ConversationSettings
from bridge.line.call import Call


class CallAgent:
    """Who answers the call now. What the agent says next is in its voice and language."""

    def __init__(
        self, call: Call, agent: Agent, make_brain: Callable[[Agent], Brain], others: Agents | None = None
    ) -> None:
        """The call speaks as `agent` does already. It may be handed over to `others`, as they are now."""
        self.agent = agent
        self.brain = make_brain(agent)
        self._call = call
        self._make_brain = make_brain
        self._others = others
        call.language = call.style.language or agent.language or call.language

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.agent.name

    @property
    def settings(self) -> ConversationSettings:
        """The settings that hold now."""
        return self.agent.settings

    @property
    def filler(self) -> Filler:
        """What is said while an answer is slow."""
        return Filler(self.settings.filler, self.settings.filler_after_ms)

    def hand_over(self, action: HandOver, said: str) -> AsyncGenerator[Piece]:
        """Gives the call to another agent, in the caller's language if it knows that, and returns what it says first.

        It is one of those that the earlier agent's tools name, and so it is there. `said` is what the caller has said
        that nobody has answered.
        """
        assert self._others is not None, "an agent alone hands nothing over"
        agent, earlier, language = self._others.find(action.agent), self.brain, self._call.language
        self._speak_as(agent.speaking(language) if language in agent.languages else agent)
        self.brain = self._make_brain(self.agent)
        return self.brain.take_over(earlier, action.reason, said)

    def switch_language(self, language: str) -> None:
        """Goes on in another language."""
        self._speak_as(self.agent.speaking(language))
        self.brain.prompt_with(self.settings.no_input_prompt, self.settings.unclear_prompt)

    def _speak_as(self, agent: Agent) -> None:
        self.agent = agent
        self._call.style = agent.style
        self._call.language = agent.language or self._call.language
