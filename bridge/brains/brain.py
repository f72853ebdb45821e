"""What a brain is: what the caller said in, what the agent says and does out, piece by piece."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

_VARIABLE: Final = re.compile(r"\{([A-Za-z_]\w*)\}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Say:
    """A text that is an utterance of its own."""

    text: str
    interruptible: bool = True
    voice: str | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """When all before it has been heard, the call goes on at this destination: `context,extension,priority`."""

    destination: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """When all before it has been heard, the call ends."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """When all before it has been heard, the caller goes to whoever answers when the agent cannot."""


Piece = str | Say | Transfer | HangUp | Fallback
"""A `str` is the next part of a text that goes on: sentences are spoken as they complete."""


class BrainError(Exception):
    """The brain has no answer; its text is fit for an administrator."""


class Brain(ABC):
    """One call's brain. At most one generator is open at a time; closing it cancels the turn.

    After each turn, played to its end or cut, `heard` is called with what the caller heard of it, before the next.
    """

    digit_gap_ms: ClassVar[int] = 0
    """How long after a key to wait for more of them before `pressed`."""

    def greet(self) -> AsyncGenerator[Piece]:
        """The call has been answered."""
        return nothing()

    @abstractmethod
    def answer(self, said: str) -> AsyncGenerator[Piece]:
        """The caller has said this. Raises BrainError."""

    def pressed(self, digits: str) -> AsyncGenerator[Piece]:
        """The caller has pressed these keys."""
        return nothing()

    def silence(self) -> AsyncGenerator[Piece]:
        """Nobody has said anything for a while."""
        return nothing()

    @abstractmethod
    def heard(self, text: str, *, interrupted: bool) -> None:
        """The turn is over and this is what was heard of it; empty for nothing."""


async def nothing() -> AsyncGenerator[Piece]:
    """No piece at all."""
    return
    yield ""


def fill(text: str, variables: Mapping[str, str]) -> str:
    """Returns `text` with the call's variables in place of `{name}`; one that is not known becomes empty.

    Other braces, as in JSON, stay as they are, and so do those in a variable's value: a caller chooses his name.
    """
    return _VARIABLE.sub(lambda match: variables.get(match[1], ""), text)
