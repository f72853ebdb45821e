"""The messages between the engine and its model's process: commands go in, events come out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Speak:
    """Asks for one sentence. The process answers with Audio, the last of it marked, or with Failed or Refused."""

    number: int
    text: str
    voice: str
    """The key of a `Learn`, or "speaker:<name>", or "designed"."""
    language: str | None = None
    """The checkpoint's name of the language; None lets the model tell it from the text."""
    instructions: str = ""
    speed: float = 1.0
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    priority: int = 0
    needed_in_s: float = 0.0
    """Seconds from now until the sound is needed; among equals, the sentence needed first goes first."""
    patience_s: float = math.inf
    """Seconds after that moment until which it may still get its place in the batch; then it is refused."""
    narrowband: bool = False
    """Whether its sound is wanted at NARROWBAND_HZ, not at the model's own rate."""
    heard_s: float = 0.0
    """The sound at its beginning that was heard already, from an engine that is lost: it is not played once more."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stops a sentence: nothing of it is sent any more. An unknown number is no error."""

    number: int


@dataclass(frozen=True, slots=True)
class Prime:
    """Has the process prepare a voice in a language while it is idle, so that its first sentence need not wait.

    The fields mean what they mean in Speak.
    """

    voice: str
    language: str | None = None
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class Learn:
    """Takes the voice of a recording. The process answers with Learned."""

    key: str
    pcm: bytes
    sample_rate_hz: int
    text: str | None = None
    keep: bool = False
    """Whether what is learnt may be kept on disk: the recording is the administrator's, and no caller's."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Lets go of a learned voice."""

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
    """A piece of a sentence's int16 PCM, possibly empty. The last one says in `end` why it is the last."""

    number: int
    pcm: bytes
    end: str | None = None
    sent_s: float | None = field(default=None, compare=False)
    """When the process sent it, on the monotonic clock that all processes of a machine share."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A sentence could not be made."""

    number: int
    message: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A sentence got no place in the batch in time: with one more, those in the batch would stutter."""

    number: int


@dataclass(frozen=True, slots=True)
class Learned:
    """A voice can be used from now on, or could not be taken; then `error` says why."""

    key: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign that the process lives, sent about once a second."""

    facts: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


Event = Ready | NotReady | Audio | Failed | Refused | Learned | Beat
