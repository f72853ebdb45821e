"""The tools by which a model hands a call over to another agent, or goes on in another language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.brains.brain import HandOver, SwitchLanguage
from bridge.brains.tool_result import ToolResult

HAND_OVER: Final = "transfer_to_agent"
SWITCH_LANGUAGE: Final = "switch_language"
AGENT_TOOLS: Final = (HAND_OVER, SWITCH_LANGUAGE)
"""The names of the tools; no other tool may have them."""
MAX_REASON_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class AgentTools:
    """The tools of one agent; without agents or languages to choose from there are none."""

    agents: Mapping[str, str] = field(default_factory=dict)
    """What each agent that may be handed over to is there for, by its name."""
    languages: Sequence[str] = ()
    """ISO 639-1 codes."""

    def parameters(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Returns the description and the parameters of each tool by its name."""
        tools: dict[str, tuple[str, dict[str, Any]]] = {}
        if self.agents:
            them = " ".join(f"{name}: {description}" for name, description in self.agents.items())
            agent = {"type": "string", "enum": list(self.agents), "description": them}
            reason = {"type": "string", "description": "what the caller wants, and what is known so far"}
            what = "Hand the caller over to another agent, after what you have said has been heard. Say that you do it."
            tools[HAND_OVER] = (what, _object({"agent": agent, "reason": reason}, ["agent"]))
        if self.languages:
            language = {"type": "string", "enum": list(self.languages)}
            what = "Speak and understand another language from now on, when the caller speaks it or asks for it."
            tools[SWITCH_LANGUAGE] = (what, _object({"language": language}, ["language"]))
        return tools

    def call(self, name: str, given: Mapping[str, Any]) -> ToolResult | None:
        """Returns what comes of a tool; None if `name` is none of these tools."""
        if name not in self.parameters():
            return None
        if name == SWITCH_LANGUAGE:
            language = str(given.get("language", ""))
            if language not in self.languages:
                return ToolResult(f"error: language must be one of {', '.join(self.languages)}")
            return ToolResult(f"From now on you are understood in {language}: answer in it.", SwitchLanguage(language))
        agent = str(given.get("agent", ""))
        if agent not in self.agents:
            return ToolResult(f"error: agent must be one of {', '.join(self.agents)}")
        reason = str(given.get("reason", ""))[:MAX_REASON_CHARS]
        return ToolResult(f"The caller goes to {agent} when you have been heard.", HandOver(agent, reason))


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}
