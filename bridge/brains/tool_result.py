"""What came of a tool call."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.brains.brain import HangUp, Transfer


@dataclass(slots=True)
class ToolResult:
    """The outcome of a tool call."""

    content: str
    """The text that the model is told."""
    action: Transfer | HangUp | None = None
    """What is to be done when the turn has been heard."""
    is_certain: bool = True
    """False if the tool may have done what was asked, or may yet do it, although it did not say so."""
