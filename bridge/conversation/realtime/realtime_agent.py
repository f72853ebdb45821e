"""The agent of one call that a speech-to-speech service holds: another one may take the call over."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.brains.brain import HandOver, fill_prompt
from bridge.brains.tools import Toolbox
from bridge.conversation.agents.agent import Agent
from bridge.conversation.agents.agents import Agents
from bridge.realtime import protocol
from bridge.realtime.protocol import Message, RealtimeOptions


class RealtimeAgent:
    """Who answers the call now, and with which tools."""

    def __init__(
        self,
        agent: Agent,
        others: Agents,
        variables: Mapping[str, str],
        make_toolbox: Callable[[Agent], Toolbox],
        options: Callable[[str], RealtimeOptions],
    ) -> None:
        """The call may be handed over to `others`, as they are now. `options` are those for a language."""
        self.agent = agent
        self.toolbox = make_toolbox(agent)
        self._others = others
        self._variables = variables
        self._make_toolbox = make_toolbox
        self._options = options

    @property
    def name(self) -> str:
        """The agent's name."""
        return self.agent.name

    def hand_over(self, action: HandOver) -> list[Message]:
        """Gives the call to another agent, and returns what the service is told of it.

        The session stays, so that the service knows what was said. Its voice stays too: the service changes none once
        it has spoken, and takes it for an error to name one.
        """
        self.agent = self._others.find(action.agent)
        self.toolbox = self._make_toolbox(self.agent)
        settings = self.agent.settings
        prompt = fill_prompt(settings.system_prompt, self._variables)
        options = self._options(settings.asr_language)
        reason = action.reason or "greet the caller, and go on from here"
        return [
            protocol.opening(options, prompt, self.toolbox.specifications()),
            protocol.told(f"[the call was handed over to you: {reason}]"),
        ]
