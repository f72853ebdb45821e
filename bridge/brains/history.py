"""A conversation as a language model is told it: what was said, and exactly what was heard."""

from __future__ import annotations

from typing import Any, Final

Message = dict[str, Any]

MAX_MESSAGES: Final = 200
"""The oldest are forgotten beyond this; the system prompt never is."""


class History:
    """Alternating user and assistant messages, one a turn, with the results of tools between."""

    def __init__(self, system: str = "") -> None:
        self._system: list[Message] = [{"role": "system", "content": system}] if system else []
        self._messages: list[Message] = []

    def messages(self) -> list[Message]:
        """All of it, for a request."""
        return [*self._system, *self._messages]

    def said(self, text: str) -> None:
        """The caller's words; joined to those that were not answered yet."""
        self._add("user", text)

    def heard(self, text: str, tools: list[Message]) -> None:
        """The agent's turn: the tools that were used, then the words that were heard, if any."""
        self._messages += tools
        if text:
            self._add("assistant", text)
        while len(self._messages) > MAX_MESSAGES or (self._messages and self._messages[0]["role"] == "tool"):
            del self._messages[0]

    def _add(self, role: str, text: str) -> None:
        last = self._messages[-1] if self._messages else None
        if last is not None and last["role"] == role and "tool_calls" not in last:
            last["content"] = f"{last['content']} {text}"
        else:
            self._messages.append({"role": role, "content": text})
