"""A brain that follows a small dialogue from YAML, by words or keys, and needs no language model."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bridge.brains.brain import Brain, Fallback, HangUp, Piece, Say, Transfer, fill
from bridge.brains.yaml_file import read_yaml
from bridge.turns.words import MAX_SAID_CHARS, words

FALLBACK: Final = "fallback"
"""`transfer: fallback` sends the caller to whoever answers when the agent cannot."""
DEFAULT_SCRIPT: Final = Path(__file__).parent / "scripts" / "default.yaml"


class Line(BaseModel):
    """A text to say, and what to do after it."""

    model_config = ConfigDict(extra="forbid")

    say: str | list[str] = ""
    """The text; one of several is chosen at random."""
    interruptible: bool = True
    goto: str = ""
    """The name of the next step; empty to stay in this one."""
    transfer: str = ""
    hangup: bool = False

    @model_validator(mode="after")
    def _one_way_on(self) -> Self:
        if (self.goto != "") + (self.transfer != "") + self.hangup > 1:
            raise ValueError("only one of goto, transfer and hangup")
        return self


class ScriptAnswer(Line):
    """What to do when the caller says one of the phrases in `match`, or presses `dtmf`."""

    match: list[str] = []
    """Words or phrases, one of which must be among what was said. `*` matches anything."""
    dtmf: str = Field(default="", pattern=r"^[0-9A-D*#]*$")

    @model_validator(mode="after")
    def _can_be_given(self) -> Self:
        if not self.match and not self.dtmf:
            raise ValueError("match or dtmf is needed")
        return self

    def matches(self, said: list[str]) -> bool:
        return "*" in self.match or self.names(said)

    def names(self, said: list[str]) -> bool:
        """Tells whether one of the phrases was said; `*` is none."""
        return any(_among(words(phrase), said) for phrase in self.match)


class Step(BaseModel):
    """A place in the dialogue, with the text that is said on reaching it and the answers that it knows."""

    model_config = ConfigDict(extra="forbid")

    say: str | list[str] = ""
    interruptible: bool = True
    answers: list[ScriptAnswer] = []
    otherwise: Line | None = None
    """What to do when the words fit no answer."""
    silence: Line | None = None
    """What to do when nobody says anything."""
    max_tries: int = Field(default=3, ge=1)
    """How often in a row `otherwise` or `silence` may be needed before the caller goes to the fallback."""


class Script(BaseModel):
    """A whole dialogue, as a YAML file holds it."""

    model_config = ConfigDict(extra="forbid")

    start: str = "start"
    steps: dict[str, Step]
    anywhere: list[ScriptAnswer] = []
    """Answers that every step knows, tried after its own."""

    @model_validator(mode="after")
    def _steps_exist(self) -> Self:
        lines: list[Line] = [*self.anywhere]
        for step in self.steps.values():
            lines += [*step.answers, *(line for line in (step.otherwise, step.silence) if line is not None)]
        for name in [self.start, *(line.goto for line in lines if line.goto)]:
            if name not in self.steps:
                raise ValueError(f"there is no step {name!r}; there are {', '.join(self.steps)}")
        return self


def load_script(path: Path) -> Script:
    """Reads a dialogue. Raises ValueError that says what is wrong and where."""
    return read_yaml(path, Script)


class ScriptBrain(Brain):
    """The way of one call through the dialogue."""

    def __init__(self, script: Script, variables: Mapping[str, str] | None = None, seed: int | None = None) -> None:
        self._script = script
        self._variables = dict(variables or {})
        self._random = random.Random(seed)
        self._step = script.steps[script.start]
        self._digits = ""
        self._tries = 0
        self._before = (self._step, 0, "")
        """The step, tries and unanswered words before this turn; they are restored when nothing of it is heard."""
        self._unanswered = ""

    async def greet(self) -> AsyncGenerator[Piece]:
        for piece in self._enter(self._script.start):
            yield piece

    def take_over(self, earlier: Brain, reason: str = "", said: str = "") -> AsyncGenerator[Piece]:
        """Greets, unless the caller has said already what the greeting would ask for."""
        known = any(answer.names(words(said)) for answer in (*self._step.answers, *self._script.anywhere))
        return self.answer(said) if known else self.greet()

    def memory(self) -> dict[str, Any]:
        return {"step": next(name for name, step in self._script.steps.items() if step is self._step)}

    async def go_on(
        self, memory: Mapping[str, Any], event: str, words: str, *, at_once: bool = False
    ) -> AsyncGenerator[Piece]:
        """Says the words and then what the step says in which the earlier call was; an unknown one is begun anew."""
        step = memory.get("step")
        known = step if step in self._script.steps else self._script.start
        for piece in (*self._say(words, interruptible=True), *self._enter(known)):
            yield piece

    def answer(self, said: str) -> AsyncGenerator[Piece]:
        self._digits = ""  # whoever speaks has stopped to press keys
        said = f"{self._unanswered} {said}".strip()[-MAX_SAID_CHARS:]
        self._before = (self._step, self._tries, said)
        return self._answer(words(said))

    async def _answer(self, heard: list[str]) -> AsyncGenerator[Piece]:
        for answer in (*self._step.answers, *self._script.anywhere):
            if answer.matches(heard):
                for piece in self._take(answer):
                    yield piece
                return
        for piece in self._retry(self._step.otherwise):
            yield piece

    def pressed(self, digits: str, said: str = "") -> AsyncGenerator[Piece]:  # keys are taken at once: nothing is said
        pieces = self._press(digits)  # pressed now, because the next key may cut the turn before its first step
        self._before = (self._step, self._tries, "")  # a key stays pressed, whatever is heard of the answer
        return _each(pieces)

    def caller_changed(self, variables: Mapping[str, str]) -> None:
        self._variables |= {name: variables[name] for name in ("from", "name")}

    @property
    def awaits_keys(self) -> bool:
        return bool(self._digits)

    async def silence(self) -> AsyncGenerator[Piece]:
        self._digits = ""
        for piece in self._retry(self._step.silence):
            yield piece

    async def misheard(self) -> AsyncGenerator[Piece]:
        self._digits = ""
        for piece in self._retry(self._step.otherwise):
            yield piece

    def heard(self, text: str, *, interrupted: bool) -> None:
        """Goes on wherever the turn was cut; if nothing of it was heard, goes back to where it began."""
        self._unanswered = ""
        if interrupted and not text:
            self._step, self._tries, self._unanswered = self._before
        self._before = (self._step, self._tries, self._unanswered)

    def _press(self, digits: str) -> list[Piece]:
        self._digits += digits
        answers = [a for a in (*self._step.answers, *self._script.anywhere) if a.dtmf]
        for answer in answers:
            if answer.dtmf == self._digits:
                return self._take(answer)
        if not any(answer.dtmf.startswith(self._digits) for answer in answers):
            self._digits = ""
        return []

    def _take(self, line: Line) -> list[Piece]:
        self._tries = 0
        return self._follow(line)

    def _retry(self, line: Line | None) -> list[Piece]:
        if line is None:
            return []
        self._tries += 1
        return [Fallback()] if self._tries > self._step.max_tries else self._follow(line)

    def _follow(self, line: Line) -> list[Piece]:
        self._digits = ""
        pieces = self._say(line.say, line.interruptible)
        if line.transfer:
            return [*pieces, Fallback() if line.transfer == FALLBACK else Transfer(line.transfer)]
        if line.hangup:
            return [*pieces, HangUp()]
        return [*pieces, *self._enter(line.goto)] if line.goto else pieces

    def _enter(self, name: str) -> list[Piece]:
        self._step = self._script.steps[name]
        self._digits = ""
        self._tries = 0
        return self._say(self._step.say, self._step.interruptible)

    def _say(self, text: str | list[str], interruptible: bool) -> list[Piece]:
        chosen = self._random.choice(text) if isinstance(text, list) and text else text
        filled = fill(chosen, self._variables).strip() if isinstance(chosen, str) else ""
        return [Say(filled, interruptible)] if filled else []


async def _each(pieces: list[Piece]) -> AsyncGenerator[Piece]:
    for piece in pieces:
        yield piece


def _among(phrase: list[str], said: list[str]) -> bool:
    return bool(phrase) and any(said[i : i + len(phrase)] == phrase for i in range(len(said) - len(phrase) + 1))
