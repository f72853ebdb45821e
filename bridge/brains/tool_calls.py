"""The tool calls of one answer, put together from the pieces in which a model streams them. No I/O."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall, ChoiceDeltaToolCallFunction

from bridge.brains.bounded_http import BadAnswer
from bridge.brains.brain import BrainError
from bridge.brains.messages import is_json, whole

MAX_TOOL_CALLS: Final = 32
"""How many tools one answer may call."""
MAX_CALL_CHARS: Final = 64_000
"""How long the names and arguments of one answer's tool calls may be together."""
EXTRA: Final = "extra_content"
_OWN_ID_CHARS: Final = 9
"""Mistral's chat templates take ids of nine letters and digits alone; others take any."""


def check_piece(part: Any) -> None:
    """Raises BadAnswer where this is no piece of a call: the client passes on whatever the server sends, unread."""
    function = getattr(part, "function", None)
    texts = (getattr(part, "id", None), getattr(function, "name", None), getattr(function, "arguments", None))
    if (
        not isinstance(part, ChoiceDeltaToolCall)
        or not isinstance(part.index, int | None)
        or not isinstance(function, ChoiceDeltaToolCallFunction | None)
        or not all(isinstance(text, str | None) for text in texts)
        or not _can_be_sent((part.model_extra or {}).get(EXTRA))
    ):
        raise BadAnswer("a tool call in it is of no known form")


def _can_be_sent(extra: Any) -> bool:
    try:
        json.dumps(extra, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return False
    return True


@dataclass(slots=True)
class ToolCall:
    """One call of a tool, as the model wrote it."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    """What the server wants back with the call: Gemini signs its thoughts here, and refuses a call without."""

    def add(self, part: Any) -> None:
        """Adds the next piece of this call."""
        self.id = self.id or whole(part.id)
        if extra := (part.model_extra or {}).get(EXTRA):
            self.extra = {EXTRA: extra}
        if part.function is not None:
            self.name += whole(part.function.name)
            self.arguments += whole(part.function.arguments)


class ToolCalls:
    """The calls of one answer, in the order in which they began."""

    def __init__(self) -> None:
        self._all: list[ToolCall] = []
        self._open: dict[int, ToolCall] = {}
        self._chars = 0

    def add(self, part: Any) -> None:
        """Adds the next piece of a call. Raises BrainError for too many calls, or calls too long.

        Some servers send all calls under one index, so a new id with a name begins another call. A new id alone does
        not: other servers give every piece a new id, and the name only with the first.
        """
        call = self._open.get(part.index)
        names = part.function is not None and part.function.name
        begins = call is None or (names and part.id and call.id and part.id != call.id)
        if call is not None and names and not (part.id or call.id):
            begins = is_json(call.arguments)  # without ids, a name after whole arguments is of another call
        texts = (begins and part.id, names, part.function and part.function.arguments)
        self._chars += sum(len(text) for text in texts if text)
        if self._chars > MAX_CALL_CHARS:
            raise BrainError(f"the language model's tool calls are longer than {MAX_CALL_CHARS} characters")
        if call is None or begins:
            if len(self._all) == MAX_TOOL_CALLS:
                raise BrainError(f"the language model wanted more than {MAX_TOOL_CALLS} tools in one answer")
            call = self._open[part.index] = ToolCall()
            self._all.append(call)
        call.add(part)

    def finish(self) -> list[ToolCall]:
        """Returns the calls, now that the answer is over. One that came without an id is given one."""
        for call in self._all:
            call.id = call.id or secrets.token_hex(_OWN_ID_CHARS)[:_OWN_ID_CHARS]
        return self._all
