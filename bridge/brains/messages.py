"""Brings a conversation's messages into a form that the chat templates of all models take. No I/O.

Templates refuse what they do not know: Mistral's and Gemma's want the caller's and the agent's messages in turn, the
caller's first. What they are given here says the same to every other model too.
"""

from __future__ import annotations

import json
from typing import Any, Final

Message = dict[str, Any]

CALL_BEGINS: Final = "(the call begins)"
"""What the caller "says" before the agent's greeting."""
UNHEARD: Final = "(interrupted before a word of this was heard)"
"""What the agent "says" after a tool's result when the caller spoke on before hearing of it."""

AT_WORK: Final = "This tool is still at work. Its result will stand here. Do not call it again for the same thing."
"""What the model is told in place of a result."""


def alternating(messages: list[Message]) -> list[Message]:
    """Returns the messages with one of the caller first, then the agent's and the caller's in turn.

    Neighbours of one role become one message. A call of a tool and its result count as part of the agent's message.
    """
    result: list[Message] = []
    for message in messages:
        role, last = message["role"], result[-1] if result else None
        if role in ("assistant", "tool") and (last is None or last["role"] == "system"):
            result.append({"role": "user", "content": CALL_BEGINS})
        elif role == "user" and last is not None and last["role"] == "tool":
            result.append({"role": "assistant", "content": UNHEARD})
        elif last is not None and role == last["role"] != "tool" and not (_calls(message) or _calls(last)):
            result[-1] = {**last, "content": f"{last['content']}\n{message['content']}"}
            continue
        result.append(message)
    return result


def without_tools(messages: list[Message]) -> list[Message]:
    """Returns the messages with the calls of tools and their results told as the caller's side's, in words.

    A model that cannot be given tools may be asked in a conversation in which another one has used them.
    """
    result: list[Message] = []
    names: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls", ()):
            names[call["id"]] = call["function"]["name"]
        if message["role"] == "tool":
            name = names.get(message["tool_call_id"], "a tool")
            result.append({"role": "user", "content": f"[result of {name}: {message['content']}]"})
        elif not _calls(message):
            result.append(message)
        elif message["content"]:
            result.append({"role": "assistant", "content": message["content"]})
    return result


def without_system(messages: list[Message]) -> list[Message]:
    """Returns the messages with the system prompt at the beginning of the caller's first message."""
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    others = [message for message in messages if message["role"] != "system"]
    if not system or not others:
        return others
    return [{**others[0], "content": f"{system}\n\n{others[0]['content']}"}, *others[1:]]


def whole(text: str | None) -> str:
    """Returns `text` with `?` for lone surrogates, which may stand in JSON, but not in a request."""
    return (text or "").encode(errors="replace").decode()


def is_json(text: str) -> bool:
    """Tells whether `text` is a whole JSON text."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _calls(message: Message) -> bool:
    return "tool_calls" in message
