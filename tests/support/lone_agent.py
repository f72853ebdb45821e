"""The agent of a call that is alone on its server, for tests that bring their own brain."""

from __future__ import annotations

from bridge.brains.brain import Brain
from bridge.brains.destinations import Destinations
from bridge.brains.script import DEFAULT_SCRIPT, load_script
from bridge.conversation.agents.agent import DEFAULT, Agent
from bridge.conversation.call_agent import CallAgent
from bridge.conversation.settings import ConversationSettings
from bridge.line.call import Call


def lone_agent(call: Call, brain: Brain, settings: ConversationSettings, transfer_allow: str = "") -> CallAgent:
    """An agent with these settings, for which `brain` thinks."""
    agent = Agent(DEFAULT, settings, load_script(DEFAULT_SCRIPT), [], Destinations(transfer_allow))
    return CallAgent(call, agent, lambda _: brain)
