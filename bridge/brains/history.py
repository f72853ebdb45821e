"""The conversation as a language model is told it: what the caller said, and exactly what the caller heard."""

from __future__ import annotations

from typing import Final

from bridge.brains.messages import AT_WORK, Message

MAX_MESSAGES: Final = 200
"""How many messages are kept; beyond that the oldest are forgotten, but never the system prompt."""
MAX_CHARS: Final = 400_000
"""How long all messages may be together."""
MAX_MESSAGE_CHARS: Final = 20_000
"""How much is kept of what the caller says without hearing an answer: the last of it."""
SUMMARY: Final = "(what was said before, summed up: {})"
"""The message in place of the oldest ones. It is the caller's, because callers' words in it must not instruct."""


class History:
    """User and assistant messages in turn, one for each turn, with the results of tools between them."""

    def __init__(self, system: str = "") -> None:
        self._system: list[Message] = [{"role": "system", "content": system}] if system else []
        self._messages: list[Message] = []
        self._before: Message | None = None
        """The last message before the caller's latest words."""
        self.condense_from = 0
        """How long it has to be before it is condensed; more after that has failed."""

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def chars(self) -> int:
        """How long all messages are together."""
        return sum(map(_length, self._messages))

    def older(self, keep: int) -> list[Message]:
        """Returns the oldest messages, whole turns whose tools have answered, without the latest `keep` at least."""
        end = max(len(self._messages) - keep, 0)
        at_work = (place for place, message in enumerate(self._messages[:end]) if message["content"] == AT_WORK)
        end = next(at_work, end)
        while end and self._messages[end]["role"] != "user":
            end -= 1
        return self._messages[:end]

    def condense(self, older: list[Message], summary: str) -> bool:
        """Puts a summary in place of the oldest messages. Returns False if they have been forgotten meanwhile."""
        beginning = self._messages[: len(older)]
        if len(beginning) < len(older) or any(now is not then for now, then in zip(beginning, older, strict=True)):
            return False
        self._messages[: len(older)] = [{"role": "user", "content": SUMMARY.format(summary)}]
        return True

    def continues(self, earlier: History) -> None:
        """Takes over what was said before under another system prompt."""
        self._messages = earlier._messages

    def remembered(self) -> list[Message]:
        """Returns a copy of all messages but the system prompt, which is not the call's."""
        return [dict(message) for message in self._messages]

    def recall(self, messages: list[Message]) -> None:
        """Takes over what was said in an earlier call."""
        self._messages = [dict(message) for message in messages]

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
        chars = self.chars
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
