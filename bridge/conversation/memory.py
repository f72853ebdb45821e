"""What a call leaves to one that continues it. It is plain data, so that it may also come from another server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.brains.line_states import LINE_STATES

CONTINUES: Final = "continues"
"""The variable that names the call which this one continues."""
BRIEF_OF: Final = "brief_of"
"""The variable that names the call about which this one tells a colleague."""
TRANSFER: Final = "transfer"
"""The variable that tells what became of a warm transfer, in Asterisk's words."""
CUT_OFF: Final = "cut_off"
"""The variable that tells that the server of the continued call was lost in the middle of it."""
SAID_CHARS: Final = 200
"""How much of what the caller said last is said again."""
FAILED: Final = "transfer_failed"
"""The variable that tells the agent in words why nobody took the call."""
REASONS: Final[Mapping[str, str]] = {
    "NOANSWER": "nobody answered",
    "BUSY": "the line is busy",
    "CHANUNAVAIL": "the telephone is not reachable",
    "CONGESTION": "the line could not be reached",
    "UNAVAILABLE": "the telephone is not reachable",
    "DND": "they do not want to be disturbed",
    "NO_AGENTS": "nobody is logged in there",
    "declined": "they cannot take the call now",
    "undecided": "whoever answered did not take the call; perhaps it was voicemail",
}


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known at the end of a call."""

    agent: str
    """The name of the agent that had the call."""
    language: str
    """What it spoke, where it may speak several languages; empty for its own."""
    variables: dict[str, str]
    brain: dict[str, Any]
    """What its brain knows, in a form that only the same kind of brain reads."""
    transcript: list[dict[str, Any]] = field(default_factory=list)
    destination: str = ""
    """Where the call was to be transferred."""
    decision: str = ""
    """What a colleague decided who was told of it; empty if nobody was."""

    def continued(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Returns the variables of a call that continues this one, of which `variables` were announced."""
        given = {name: value for name, value in variables.items() if value}
        kept = {name: value for name, value in self.variables.items() if name not in (TRANSFER, FAILED, CUT_OFF)}
        merged = {**kept, LINE_STATES: "", **given, "agent": self.agent}
        if not merged[LINE_STATES]:
            del merged[LINE_STATES]  # they have changed since
        if self.language:
            merged["language"] = self.language
        if (status := variables.get(TRANSFER)) is not None:
            decided = self.decision if self.decision in REASONS else ""
            merged[FAILED] = REASONS.get(decided or status, "it did not succeed")
        return merged

    def said(self) -> str:
        """Returns what the caller said last, or an empty text."""
        said = [message["content"] for message in self.brain.get("messages", ()) if message.get("role") == "user"]
        said += [entry["text"] for entry in self.transcript if entry.get("who") == "user"]
        words = [text for text in said if text and not text.startswith("[")]
        return words[-1][-SAID_CHARS:] if words else ""

    def event(self, variables: Mapping[str, str]) -> str:
        """Returns what has happened since, for a language model that goes on with the call."""
        if CUT_OFF in variables:
            return (
                "the line was cut off, which was not the caller's fault, and the call goes on here. The caller has "
                "been told so. Go on where you were: answer what was said last, or say again what you were saying"
            )
        if FAILED not in variables:
            return "the line was interrupted, and the call goes on here"
        return (
            f"the transfer to {self.destination} did not succeed: {variables[FAILED]}. The caller, who has waited with "
            "music, is back with you: say so, and go on from here"
        )
