"""Tells a call's journal what the tools of its agent have done."""

from __future__ import annotations

from typing import Final

from bridge.brains.tool_result import ToolResult
from bridge.conversation.journal import Journal

MAX_ARGUMENTS_CHARS: Final = 1_000
MAX_NAME_CHARS: Final = 64


class ToolJournal:
    """Observes the tools of one call. The brain, which uses them, is made before the journal."""

    def __init__(self) -> None:
        self.journal: Journal | None = None
        """Where the tools are noted; None while the call has not begun."""

    def __call__(self, name: str, arguments: str, result: ToolResult, took_ms: int) -> None:
        """Notes one tool that has answered."""
        if self.journal is not None:
            self.journal.tell(
                "tool.done",
                tool=name[:MAX_NAME_CHARS],
                arguments=arguments[:MAX_ARGUMENTS_CHARS],
                result=result.content,
                took_ms=took_ms,
            )
