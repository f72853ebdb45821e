"""What happens in a run, made from its seed: the calls, what their callers do, and which neighbours fail when.

Each part has a name and chances of its own, so that a part can be left out and the others stay as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final, Literal

from tests.simulation.network import Quality

Ending = Literal["hangs up", "closes", "resets", "vanishes"]
ENDINGS: Final[tuple[Ending, ...]] = ("hangs up", "hangs up", "hangs up", "closes", "resets", "vanishes")
FAULTS: Final = (
    "recogniser killed",
    "recogniser stalled",
    "recogniser garbles",
    "model killed",
    "model stalled",
    "engine broken",
    "engine slow",
    "engine killed",
    "caller stalled",
    "caller deaf",
    "caller reset",
    "all parted",
    "we stand still",
    "we stop",
    "told to speak",
    "told to be silent",
    "told to hang up",
)
_SYLLABLES: Final = tuple(consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou")


@dataclass(frozen=True, slots=True)
class Saying:
    """The caller speaks, presses a key, or makes a noise."""

    name: str
    at_s: float
    lasts_s: float
    words: str = ""
    """What the recogniser makes of it; empty for a noise."""
    digit: str = ""
    is_lost: bool = False
    """The recogniser never tells the end of it."""
    begins_twice: bool = False
    after_s: float = 0.15
    """From its end until the recogniser is sure of its words."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model does when it is asked."""

    text: str
    first_s: float = 0.2
    token_s: float = 0.01
    end: Literal[
        "", "hang", "dies", "error", "hangup", "silent", "page", "garbled", "endless", "refused", "tool", "no tool"
    ] = ""
    """How it goes wrong, or that the model ends the call by its tool, or uses another one or one that there is not."""


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One call. `at_s` counts from the start of the run, all else from that of the call."""

    name: str
    at_s: float
    lasts_s: float
    ending: Ending
    sayings: tuple[Saying, ...]
    answers: tuple[Answer, ...]
    frame_ms: int
    quality: Quality
    uuid_after_s: float = 0.0
    sound: bytes = b""
    """What the caller's line sounds like from the beginning on, 16-bit at 8 kHz; silence follows."""
    overlaps: bool = False
    """The recogniser may tell the start of one saying before the end of another, as with several people on the line."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A neighbour fails for a while, or somebody interferes; `call` says which one's, where it is about one."""

    name: str
    kind: str
    at_s: float
    lasts_s: float
    call: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """One run."""

    seed: int
    calls: tuple[CallPlan, ...]
    faults: tuple[Fault, ...]
    places: int = 4
    """How many sentences the engine makes at once."""
    speed: float = 8.0
    """How many seconds of speech the engine makes in one."""
    guesses_ends: bool = False
    """The recogniser tells that the caller may be done before it is sure, so that answers are begun early."""
    settings: dict[str, Any] = field(default_factory=dict)
    more_faults: int = 0
    """How many of the faults are not those of the seed alone."""
    dropped: tuple[str, ...] = ()

    def names(self) -> Iterator[str]:
        """Yields the name of every part that can be left out, the largest first."""
        yield from (call.name for call in self.calls if len(self.calls) > 1)
        yield from (fault.name for fault in self.faults)
        yield from (saying.name for call in self.calls for saying in call.sayings)

    def without(self, names: Collection[str]) -> Plan:
        """Returns the same plan without these parts."""
        calls = tuple(
            replace(call, sayings=tuple(saying for saying in call.sayings if saying.name not in names))
            for call in self.calls
            if call.name not in names
        )
        faults = tuple(fault for fault in self.faults if fault.name not in names)
        return replace(self, calls=calls, faults=faults, dropped=(*self.dropped, *sorted(names)))


def make_plan(seed: int, more_faults: int = 0) -> Plan:
    """Returns the plan that belongs to a seed, with so many faults more: all else stays as it is."""
    chance = Random(f"{seed}/plan")
    calls = tuple(_call(seed, number) for number in range(chance.choice((1, 1, 1, 2, 2, 3))))
    until_s = max(call.at_s + call.lasts_s for call in calls)
    fail = chance.choice((0, 1, 1, 2, 3)) + more_faults
    faults = tuple(_fault(seed, number, until_s, len(calls)) for number in range(fail))
    settings = {
        "early_answer_ms": chance.choice((0, 100)),
        "filler_after_ms": chance.choice((0, 400, 2_000)),
        "no_input_timeout_ms": chance.choice((1_500, 10_000)),
        "min_interrupt_words": chance.choice((0, 1, 1, 2)),
        "false_interruption_timeout_ms": chance.choice((300, 1_000)),
        "asr_timeout_ms": chance.choice((700, 5_000)),
        "llm_timeout_ms": chance.choice((600, 3_000)),
        "max_call_s": chance.choice((4, 3_600, 3_600)),
        "max_calls": chance.choice((2, 100)),
    }
    return Plan(
        seed,
        calls,
        faults,
        places=chance.choice((1, 2, 4, 8)),
        speed=chance.choice((0.9, 2.0, 8.0, 50.0)),
        guesses_ends=chance.random() < 0.5,
        settings=settings,
        more_faults=more_faults,
    )


def _call(seed: int, number: int) -> CallPlan:
    name = f"call{number}"
    chance = Random(f"{seed}/{name}")
    lasts_s = chance.uniform(1.0, 6.0)
    sayings = [_saying(seed, f"{name}.say{place}", lasts_s) for place in range(chance.choice((0, 1, 1, 2, 3)))]
    overlaps = chance.random() < 0.15
    return CallPlan(
        name,
        at_s=0.0 if number == 0 else chance.uniform(0.0, 2.0),
        lasts_s=lasts_s,
        ending=chance.choice(ENDINGS),
        sayings=tuple(sayings) if overlaps else _one_after_the_other(sayings),
        overlaps=overlaps,
        answers=tuple(_answer(seed, f"{name}.answer{place}") for place in range(8)),
        frame_ms=chance.choice((20, 20, 20, 30, 40, 60)),
        quality=_quality(chance),
        uuid_after_s=chance.choice((0.0, 0.0, 0.0, 0.3)),
    )


def _one_after_the_other(sayings: list[Saying]) -> tuple[Saying, ...]:
    """Returns the sayings with each begun after the end of the one before."""
    placed: list[Saying] = []
    free_s = 0.0
    for saying in sorted(sayings, key=lambda saying: saying.at_s):
        at_s = max(saying.at_s, free_s)
        placed.append(replace(saying, at_s=at_s))
        free_s = at_s + saying.lasts_s + saying.after_s + 0.01
    return tuple(placed)


def _quality(chance: Random) -> Quality:
    delay_ms, jitter_ms = chance.choice(((0.2, 0.0), (0.2, 0.1), (5.0, 15.0), (40.0, 80.0)))
    return Quality(delay_ms, jitter_ms, chance.choice((0.0, 0.0, 0.2)), chance.choice((4_096, 16_384, 65_536)))


def _saying(seed: int, name: str, until_s: float) -> Saying:
    chance = Random(f"{seed}/{name}")
    at_s, lasts_s = chance.uniform(0.1, until_s), chance.choice((0.15, 0.5, 1.2))
    if chance.random() < 0.15:
        return Saying(name, at_s, 0.0, digit=chance.choice("0123456789*#"))
    words = "" if chance.random() < 0.2 else " ".join(_words(chance, chance.randint(1, 5)))
    return Saying(
        name, at_s, lasts_s, words, "", chance.random() < 0.05, chance.random() < 0.1, chance.choice((0.05, 0.15, 0.6))
    )


def _answer(seed: int, name: str) -> Answer:
    chance = Random(f"{seed}/{name}")
    sentences = [" ".join(_words(chance, chance.randint(1, 6))) for _ in range(chance.randint(1, 3))]
    text = "".join(f"{sentence.capitalize()}{chance.choice('..?!')} " for sentence in sentences).strip()
    end = chance.choice(("", "", "", "", "", "", "", "hang", "dies", "error", "hangup", "silent"))
    return Answer(text, chance.choice((0.0, 0.1, 0.3, 0.9)), chance.choice((0.0, 0.005, 0.05)), end)


def _words(chance: Random, count: int) -> list[str]:
    return ["".join(chance.choice(_SYLLABLES) for _ in range(chance.randint(1, 4))) for _ in range(count)]


def _fault(seed: int, number: int, until_s: float, calls: int) -> Fault:
    name = f"fault{number}"
    chance = Random(f"{seed}/{name}")
    lasts_s = chance.choice((0.03, 0.1, 0.5, 2.0, 8.0))
    return Fault(name, chance.choice(FAULTS), chance.uniform(0.0, until_s), lasts_s, chance.randrange(calls))
