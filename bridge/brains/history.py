"""The conversation as a language model is told it: what the caller said, and exactly what the caller heard."""

from __future__ import annotations

from typing import Final

from bridge.brains.messages import Message

MAX_MESSAGES: Final = 200
"""How many messages are kept; beyond that the oldest are forgotten, but never the system prompt."""
MAX_CHARS: Final = 400_000
"""How long all messages may be together."""
MAX_MESSAGE_CHARS: Final = 20_000
"""How much is kept of what the caller says without hearing an answer: the last of it."""


class History:
    """User and assistant messages in turn, one for each turn, with the results of tools between them."""

    def __init__(self, system: str = "") -> None:
        self._system: list[Message] = [{"role": "system", "content": system}] if system else []
        self._messages: list[Message] = []
        self._before: Message | None = None
        """The last message before the caller's latest words."""

    def continues(self, earlier: History) -> None:
        """Takes over what was said before under another system prompt."""
        self._messages = earlier._messages

    def messages(self) -> list[Message]:
        """Returns all messages for a request, the system prompt first."""
        return [*self._system, *self._messages]

    def said(self, text: str) -> None:
        """Adds the caller's words, joined to those that have not been answered yet."""
        self._before = dict(self._messages[-1]) if self._messages else None
        self._add("user", text)

    def unsay(self) -> None:
        """Forgets the caller's latest words, to which nothing has been answered yet."""
        last = self._messages.pop()
        if self._before is not None and self._before["role"] == last["role"]:
            self._messages.append(self._before)

    def heard(self, text: str, tools: list[Message]) -> None:
        """Adds the agent's turn: the tools that were used, then the words that were heard, if any."""
        self._messages += tools
        if text:
            self._add("assistant", text)
        chars = sum(_length(message) for message in self._messages)
        while len(self._messages) > MAX_MESSAGES or chars > MAX_CHARS or self._begins_with_a_result():
            chars -= _length(self._messages.pop(0))

    def _begins_with_a_result(self) -> bool:
        return bool(self._messages) and self._messages[0]["role"] == "tool"

    def _add(self, role: str, text: str) -> None:
        last = self._messages[-1] if self._messages else None
        if last is not None and last["role"] == role and "tool_calls" not in last:
            last["content"] = f"{last['content']} {text}"[-MAX_MESSAGE_CHARS:]
        else:
            self._messages.append({"role": role, "content": text})


def _length(message: Message) -> int:
    arguments = sum(len(call["function"]["arguments"]) for call in message.get("tool_calls", ()))
    return len(message["content"] or "") + arguments
