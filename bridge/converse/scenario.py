"""A scenario: what a caller does on one call, over which line, and what is expected of the agent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from bridge.config import FIELDS
from bridge.line.audiosocket import FRAME_MS

WORD_MS: Final = 400
"""How long the embedded voice takes for a word, on an average."""
PICO: Final = ("pico-en-US", "pico-en-GB", "pico-de-DE", "pico-es-ES", "pico-fr-FR", "pico-it-IT")
SECOND: Final = "second"
"""The demo's caller: the agent's own voice, lower."""


class Moment(StrEnum):
    """What a step of the caller's waits for."""

    AT_ONCE = "at once"
    AGENT_BEGINS = "agent begins"
    AGENT_ENDS = "agent ends"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class When:
    """The moment of a step; `after_ms` counts from the agent's first sound since the step before."""

    moment: Moment
    after_ms: int = 0


_AFTER: Final = re.compile(r"after (\d{1,5}) (ms|words?)")


def read_when(text: str) -> When:
    """Returns the moment that `text` names. Raises ValueError."""
    if found := _AFTER.fullmatch(text):
        amount = int(found[1])
        return When(Moment.AFTER, amount if found[2] == "ms" else amount * WORD_MS)
    if text in ("at once", "agent begins", "agent ends"):
        return When(Moment(text))
    raise ValueError(f"must be at once, agent begins, agent ends, after N ms or after N words, not {text!r}")


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"must be a regular expression: {error}") from None
    return text


Pattern = Annotated[str, AfterValidator(_regular_expression)]
"""A regular expression that is searched for, whatever the case of the letters."""
PauseMs = Annotated[int, Field(ge=FRAME_MS, le=10_000)]


class Part(BaseModel):
    """What all parts of a scenario share: an unknown name in one is an error."""

    model_config = ConfigDict(extra="forbid")


class Noise(Part):
    """What is heard behind the caller all the time, as loud below the caller's speech as `snr_db` says."""

    kind: Literal["white", "babble", "music"]
    snr_db: float = Field(ge=-20, le=60)


class Echo(Part):
    """The agent's own sound, which comes back on the caller's side of the line."""

    level_db: float = Field(ge=-60, le=0)
    delay_ms: int = Field(150, ge=0, le=1_000)


class Line(Part):
    """The caller's side of the line. Without noise and echo it is digitally silent."""

    noise: Noise | None = None
    echo: Echo | None = None


class Step(Part):
    """One thing that the caller does, and what it must bring about."""

    say: str | list[str | PauseMs] = ""
    """The words; in a list, a number is a pause in ms."""
    improvise: str = ""
    """What the caller wants; a language model makes the words out of it, up to `turns` times."""
    turns: int = Field(4, ge=1, le=50)
    sound: Literal["cough", "music", "dial tone", "beep"] | None = None
    lasts_ms: int = Field(500, ge=FRAME_MS, le=60_000)
    """How long a sound lasts; a cough is as short as it is."""
    press: str = Field("", pattern=r"^[0-9A-D*#]*$")
    wait_ms: int = Field(0, ge=0, le=60_000)
    hang_up: bool = False

    heard: str | None = None
    """What a recogniser makes of the words, where the server is told them; the words themselves if it is left out."""
    voice: str = ""
    """The voice of these words; the scenario's if it is left out. Another one is somebody beside the caller."""
    level_db: float = Field(0, ge=-60, le=20)
    """How much louder than the caller's usual speech."""
    when: str = ""

    yields_within_ms: int | None = Field(None, ge=0)
    """The agent is silent so soon after the first sound of this step, and does not go on with its answer."""
    goes_on: bool = False
    """The agent does not drop its answer. It may pause."""
    pauses_at_most_ms: int | None = Field(None, ge=0)
    """The agent's longest silence in the second after the first sound of this step."""
    waits_within_ms: int | None = Field(None, ge=0)
    """The agent is silent so soon after the first sound of this step, and as long as the step lasts."""
    answered_within_ms: int | None = Field(None, ge=0)
    """The agent speaks so soon after the last sound of this step."""

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        done = [self.say, self.improvise, self.sound, self.press, self.wait_ms, self.hang_up]
        if sum(bool(thing) for thing in done) != 1:
            raise ValueError("a step has exactly one of say, improvise, sound, press, wait_ms and hang_up")
        if self.hang_up and self.judged:
            raise ValueError("nothing is expected of the agent after a hang_up")
        return self

    @field_validator("when")
    @classmethod
    def _is_a_moment(cls, value: str) -> str:
        if value:
            read_when(value)
        return value

    @field_validator("voice")
    @classmethod
    def _is_a_voice(cls, value: str) -> str:
        return known_voice(value)

    @property
    def moment(self) -> When:
        """When the step begins: where nothing is said of it, words and keys wait until the agent has ended."""
        if self.when:
            return read_when(self.when)
        return When(Moment.AT_ONCE if self.wait_ms else Moment.AGENT_ENDS)

    @property
    def judged(self) -> bool:
        """Tells whether something is expected of the agent at this step."""
        measured = (self.yields_within_ms, self.pauses_at_most_ms, self.waits_within_ms, self.answered_within_ms)
        return self.goes_on or any(value is not None for value in measured)

    @property
    def pieces(self) -> list[str | int]:
        """The words and pauses of `say`."""
        return [self.say] if isinstance(self.say, str) else list(self.say)

    @property
    def words(self) -> str:
        """The words of `say`, without the pauses."""
        return " ".join(piece for piece in self.pieces if isinstance(piece, str))

    def __str__(self) -> str:
        if self.hang_up:
            return "hangs up"
        if self.wait_ms:
            return f"waits {self.wait_ms} ms"
        return self.words or self.sound or (f"presses {self.press}" if self.press else self.improvise)


class ToolUse(Part):
    """A tool that the model calls, or that it must have called."""

    name: str
    arguments: dict[str, Any] = {}
    """Those that must be among the arguments, where it is an expectation."""


class ModelAnswer(Part):
    """What the scripted model answers when `heard` is found in the caller's words, or in a tool's result."""

    heard: Pattern = ""
    knows: Pattern = ""
    """What must be found in an earlier message besides, as a tool's result."""
    say: str = ""
    tool: ToolUse | None = None
    after_ms: int = Field(100, ge=0, le=60_000)
    token_ms: int = Field(10, ge=0, le=5_000)

    @model_validator(mode="after")
    def _is_something(self) -> Self:
        if not self.say and self.tool is None:
            raise ValueError("an answer needs say or tool")
        return self


class ToolStandIn(Part):
    """What stands in for a tool of the model's."""

    result: str = "{}"
    after_ms: int = Field(0, ge=0, le=30_000)


class Expectations(Part):
    """What is expected of the call as a whole."""

    agent_says: list[Pattern] = []
    agent_never_says: list[Pattern] = []
    agent_is_heard_to_say: list[Pattern] = []
    """As `agent_says`, but recognised from the sound that came back."""
    caller_is_understood: list[Pattern] = []
    tools: list[ToolUse] = []
    """All calls of tools, in their order."""
    next: str | None = None
    """Where the dialplan is told to go on."""
    ended_by: Literal["agent", "caller"] | None = None
    agent_turns: int | None = Field(None, ge=0)
    agent_turns_at_most: int | None = Field(None, ge=0)
    longest_silence_ms: int | None = Field(None, ge=0)
    """How long neither side may be heard, from the agent's first sound to its last."""


class Scenario(Part):
    """A whole call."""

    name: str = Field("", max_length=100)
    about: str = ""
    expected_failure: str = ""
    """Why it is known to fail. It does not count then; if it passes, that is reported."""
    server: dict[str, str] = {}
    """Settings of the server, by name."""
    recogniser: Literal["told", "embedded"] = "told"
    """`told`: the server's recogniser is told the caller's words, and its own detector hears the rest."""
    script: Path | None = None
    """A dialogue for the server, in place of `answers`; its path begins at the scenario's file."""
    variables: dict[str, str] = {}
    """Variables of the call, as the dialplan registers them."""
    greeting: str = "Good morning, this is the museum."
    answers: list[ModelAnswer] = [ModelAnswer(say="We open at nine.")]
    tools: dict[str, ToolStandIn] = {}
    voice: str = SECOND
    line: Line = Line()
    caller: list[Step] = Field(min_length=1)
    stays_ms: int = Field(0, ge=0, le=60_000)
    """How long the caller stays on the line when the agent has ended its last answer."""
    expect: Expectations = Expectations()
    longest_s: float = Field(40, gt=0, le=3_600)

    _path: Path = PrivateAttr(default=Path())

    @field_validator("voice")
    @classmethod
    def _is_a_voice(cls, value: str) -> str:
        return known_voice(value)

    @field_validator("server")
    @classmethod
    def _are_settings(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name.lower() not in FIELDS:
                raise ValueError(f"{name} is no setting; docs/settings.md lists them")
        return value

    @property
    def is_judged(self) -> bool:
        """Tells whether anything is expected at all."""
        return self.expect != Expectations() or any(step.judged for step in self.caller)


def known_voice(name: str) -> str:
    """Returns `name` if a caller can have that voice. Raises ValueError."""
    from engine.hibari.voices import VARIANTS

    known = (SECOND, *VARIANTS, *PICO)
    if name and name not in known:
        raise ValueError(f"must be a voice out of {', '.join(known)}")
    return name
