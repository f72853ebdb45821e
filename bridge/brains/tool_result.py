"""What came of a tool call."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.brains.brain import HandOver, HangUp, SwitchLanguage, Transfer


@dataclass(slots=True)
class ToolResult:
    """The outcome of a tool call."""

    content: str
    """The text that the model is told."""
    action: Transfer | HangUp | HandOver | SwitchLanguage | None = None
    """What is to be done when the turn has been heard; another language is spoken at once."""
    is_certain: bool = True
    """False if the tool may have done what was asked, or may yet do it, although it did not say so."""

    @property
    def ends_turn(self) -> bool:
        """Tells whether nothing that the model could add would be heard."""
        return self.action is not None and not isinstance(self.action, SwitchLanguage)
