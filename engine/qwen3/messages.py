"""What the engine and its model process say to each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Speak:
    """Make one sentence. Answered by Audio, the last one marked, by Failed or by Refused."""

    number: int
    text: str
    voice: str
    """A key that `Learn` gave, or "speaker:<name>", or "designed"."""
    language: str | None = None
    """As the checkpoint names it; None for whatever the text is in."""
    instructions: str = ""
    speed: float = 1.0
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    priority: int = 0
    needed_in_s: float = 0.0
    """When its sound has to be there, from now: who needs it first goes first among equals."""
    patience_s: float = math.inf
    """How much later than that it may still get its place in the batch; then it is refused."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop making a sentence; nothing of it is sent any more. Unknown numbers are no error."""

    number: int


@dataclass(frozen=True, slots=True)
class Prime:
    """Keep ready what the first sentence of a voice in a language would wait for, once there is nothing else to do.

    The fields are those of Speak.
    """

    voice: str
    language: str | None = None
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class Learn:
    """Take the voice of a recording. Answered by Learnt."""

    key: str
    pcm: bytes
    sample_rate_hz: int
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Forget:
    """Let go of a learnt voice."""

    key: str


Command = Speak | Cancel | Prime | Learn | Forget


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded."""

    kind: str
    instructable: bool
    facts: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotReady:
    """The model cannot be loaded; the process ends."""

    message: str


@dataclass(frozen=True, slots=True)
class Audio:
    """int16 PCM of a sentence, possibly none; `end` with the last, saying why it is the last."""

    number: int
    pcm: bytes
    end: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A sentence could not be made."""

    number: int
    message: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A sentence got no place in the batch in time: those in it would stutter if it had."""

    number: int


@dataclass(frozen=True, slots=True)
class Learned:
    """A voice can be used, or could not be taken."""

    key: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """Sent about once a second while there is work or something has changed: the process lives."""

    facts: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


Event = Ready | NotReady | Audio | Failed | Refused | Learned | Beat
