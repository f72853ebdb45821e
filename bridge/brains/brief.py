"""The brain that tells a colleague what a call is about before it is theirs, and asks for a key."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Final, Literal

from bridge.brains.brain import Brain, Piece, Say, nothing

Decision = Literal["taken", "declined", "undecided"]
KEYS: Final[dict[str, Decision]] = {"1": "taken", "2": "declined"}
TIMES: Final = 2
"""How often it is said to somebody who presses no key, voicemail for example."""


class BriefBrain(Brain):
    """Says the brief, once more after a silence, and tells what the colleague decides."""

    def __init__(self, text: str, decide: Callable[[Decision], None]) -> None:
        self._text = text
        self._decide = decide
        self._times = 0

    async def greet(self) -> AsyncGenerator[Piece]:
        self._times += 1
        yield Say(self._text)

    def answer(self, said: str) -> AsyncGenerator[Piece]:
        return nothing()

    def pressed(self, digits: str, said: str = "") -> AsyncGenerator[Piece]:
        if (decision := KEYS.get(digits[:1])) is not None:
            self._decide(decision)
            return nothing()
        return self.silence()

    async def silence(self) -> AsyncGenerator[Piece]:
        if self._times >= TIMES:
            self._decide("undecided")
            return
        async for piece in self.greet():
            yield piece

    def heard(self, text: str, *, interrupted: bool) -> None:
        """Keeps nothing: there is no history."""
