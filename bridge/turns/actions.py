"""What a turn asks to be done: fall silent, go on, drop the reply, answer, prompt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a reply was dropped."""

    SPEECH = "speech"
    WORDS = "words"
    DTMF = "dtmf"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Pause:
    """Fall silent, keep the place; if nothing plays yet, do not begin."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on where `Pause` stopped."""


@dataclass(frozen=True, slots=True)
class Commit:
    """The reply is over: drop what was not heard, and cancel whoever makes it."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Answer:
    """The caller has said this and waits for an answer."""

    text: str


@dataclass(frozen=True, slots=True)
class PromptCaller:
    """Nobody has said anything for a while."""


Action = Pause | Resume | Commit | Answer | PromptCaller
