"""The actions that the turns ask for: fall silent, go on, take back, drop the reply, answer, prompt, ask again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a reply was dropped."""

    SPEECH = "speech"
    WORDS = "words"
    DTMF = "dtmf"
    RESTART = "restart"
    VOICEMAIL = "voicemail"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Pause:
    """The agent falls silent and keeps its place; if nothing plays yet, it does not begin."""


@dataclass(frozen=True, slots=True)
class Resume:
    """The agent goes on where `Pause` stopped it."""


@dataclass(frozen=True, slots=True)
class TakeBack:
    """The last `ms` before the pause were played to nobody: they do not count as heard, and are played again."""

    ms: int


@dataclass(frozen=True, slots=True)
class Commit:
    """The reply is over: what was not heard is dropped, and its making is cancelled."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Answer:
    """The caller has said `text` and waits for an answer."""

    text: str
    prepared: bool = False
    """True if the answer that `Prepare` began is the answer to it."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """The caller may have said all of `text`: the answer to it is begun, and held."""

    text: str


@dataclass(frozen=True, slots=True)
class Discard:
    """What `Prepare` began is dropped without a trace, because the caller has said something else."""


@dataclass(frozen=True, slots=True)
class PromptCaller:
    """The caller is prompted, because nobody has said anything for a while."""


@dataclass(frozen=True, slots=True)
class AskAgain:
    """The caller is asked to say it again, because nothing of it was understood."""


@dataclass(frozen=True, slots=True)
class EndCall:
    """The call ends, once `text` has been said, if there is one: a machine has answered it."""

    text: str = ""


Action = Pause | Resume | TakeBack | Commit | Answer | Prepare | Discard | PromptCaller | AskAgain | EndCall
