"""Tries rules for the end of a turn: python -m benchmarks.end_of_turn [--every 4]

Each rule says how long a caller's silence has to last. Callers who have ended wait for it; a caller who pauses for
800 ms is cut into where it says less. The rules were chosen on the first sentences, and the held-out ones are of other
texts and, but for hibari, in other voices.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.machine import facts
from benchmarks.phone_speech import (
    FRESH,
    FRESH_PAUSED,
    PAUSED,
    SENTENCES,
    Clip,
    clips,
    held_out,
    through_line,
    with_pause,
)
from benchmarks.table import markdown
from bridge.hearing.asr.embedded import BEFORE_MS
from bridge.hearing.asr.recognizer_pool import RecognizerPool
from bridge.hearing.smart_turn import SmartTurn
from bridge.turns.end_of_turn import SURE, EndOfTurn, goes_on
from bridge.turns.words import words

PAUSE_MS: Final = 800
ASKED_MS: Final = (80, 160, 320)
"""How much silence the judge of the sound has heard when it is asked."""
RULES: Final = EndOfTurn()
SILENCE_MS, QUICK_MS, LONG_MS = RULES.silence_ms, RULES.quick_ms, RULES.patience_ms
BETWEEN_MS: Final = 608


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What is known of a caller who has fallen silent."""

    voice: str
    has_ended: bool
    speech_ms: float
    text: str
    chances: tuple[float, ...]
    """What the judge of the sound says, at each of ASKED_MS."""

    @property
    def sound(self) -> float:
        """What it says when it is asked first."""
        return self.chances[0]

    @property
    def goes_on(self) -> bool:
        """Whether the words say that more will come."""
        return goes_on(self.text)

    @property
    def goes_on_but_for_a_comma(self) -> bool:
        """The same of the words alone: recognisers put a comma behind many whole sentences."""
        return goes_on(self.text.rstrip(" ,") + ".")


Rule = Callable[[Witnesses], float]


def both(sure: float) -> Rule:
    """Words and sound must agree."""
    return lambda heard: LONG_MS if heard.goes_on or heard.sound < sure else QUICK_MS


def without_comma(sure: float) -> Rule:
    """The same, and no comma counts."""
    return lambda heard: LONG_MS if heard.goes_on_but_for_a_comma or heard.sound < sure else QUICK_MS


def sure_without_comma(heard: Witnesses) -> float:
    """A comma does not count where the sound is very sure."""
    return without_comma(0.9)(heard) if heard.sound >= 0.9 else both(SURE)(heard)


def asked_at(number: int, sure: float) -> Rule:
    """The judge of the sound is asked once, later."""
    quick_ms = max(QUICK_MS, ASKED_MS[number] + 96)
    return lambda heard: LONG_MS if heard.goes_on or heard.chances[number] < sure else quick_ms


def asked_again(number: int, sure: float) -> Rule:
    """It is asked once more where it was not sure."""
    return lambda heard: min(both(SURE)(heard), asked_at(number, sure)(heard))


def graded(heard: Witnesses) -> float:
    """The wait falls evenly with what the sound says."""
    return LONG_MS if heard.goes_on else LONG_MS - heard.sound * (LONG_MS - QUICK_MS)


def one_says_more(heard: Witnesses) -> float:
    """Where only one of the two says that more will come, the wait lies between."""
    more = heard.goes_on + (heard.sound < SURE)
    return (QUICK_MS, BETWEEN_MS, LONG_MS)[more]


def sure_words(heard: Witnesses) -> float:
    """Questions, and what has four words and more, need less of the sound."""
    is_sure = heard.text.endswith("?") or len(words(heard.text)) >= 4
    return both(0.4 if is_sure else SURE)(heard)


def by_length(heard: Witnesses) -> float:
    """Long speech needs less of the sound, and short speech more."""
    return both(0.5 if heard.speech_ms > 1_800 else 0.9)(heard)


WAYS: Final[tuple[tuple[str, Rule], ...]] = (
    (f"{SILENCE_MS} ms of silence", lambda heard: SILENCE_MS),
    ("the sound alone, 0.7", lambda heard: QUICK_MS if heard.sound >= SURE else LONG_MS),
    ("the sound alone, 0.95", lambda heard: QUICK_MS if heard.sound >= 0.95 else LONG_MS),
    ("the words alone", lambda heard: LONG_MS if heard.goes_on else QUICK_MS),
    *((f"both, the sound from {sure}", both(sure)) for sure in (0.5, 0.6, SURE, 0.8, 0.9)),
    ("both, no comma counts, 0.7", without_comma(0.7)),
    ("both, no comma counts, 0.8", without_comma(0.8)),
    ("both, no comma counts where the sound is 0.9", sure_without_comma),
    ("both, the sound after 160 ms", asked_at(1, SURE)),
    ("both, the sound after 160 ms, 0.95", asked_at(1, 0.95)),
    ("both, the sound after 320 ms, 0.95", asked_at(2, 0.95)),
    ("both, the sound again after 160 ms, 0.95", asked_again(1, 0.95)),
    ("both, the sound again after 320 ms, 0.97", asked_again(2, 0.97)),
    ("both, questions and four words from 0.4", sure_words),
    ("both, long speech from 0.5 and short from 0.9", by_length),
    ("a wait that falls with the sound's probability", graded),
    (f"{BETWEEN_MS} ms where one of the two says more", one_says_more),
)  # fmt: skip


async def witnesses(said: Sequence[Clip]) -> list[Witnesses]:
    """Returns what is known of each caller."""
    pool, judge, found = RecognizerPool("auto"), SmartTurn(), []
    await pool.start()
    for clip in said:
        heard = [through_line(with_pause(clip.pcm, BEFORE_MS, ms)) for ms in ASKED_MS]
        chances = tuple([await judge.probability(pcm) for pcm in heard])
        speech_ms = len(clip.pcm) * 1000 / 8_000
        found.append(Witnesses(clip.voice, clip.ended, speech_ms, await pool.transcribe(heard[0]), chances))
    await pool.close()
    await judge.close()
    return found


def cells(rule: Rule, heard: Sequence[Witnesses]) -> tuple[str, str]:
    """Returns how long callers wait who have ended, and the share of pauses that are cut into."""
    waits = [rule(one) if one.text else SILENCE_MS for one in heard if one.has_ended]
    cuts = [(rule(one) if one.text else SILENCE_MS) <= PAUSE_MS for one in heard if not one.has_ended]
    p50, p95 = np.quantile(waits, (0.5, 0.95), method="inverted_cdf")
    return f"{np.mean(waits):.0f}, {p50:.0f} / {p95:.0f}", f"{100 * np.mean(cuts):.0f} ({sum(cuts)} of {len(cuts)})"


def table(chosen_on: Sequence[Witnesses], held: Sequence[Witnesses]) -> list[tuple[str, ...]]:
    """Returns the table of the rules."""
    wait, cut = "wait, ms, mean, p50 / p95", f"cuts into {PAUSE_MS} ms, %"
    rows: list[tuple[str, ...]] = [("rule", wait, cut, f"held out: {wait}", f"held out: {cut}")]
    rows += [(name, *cells(rule, chosen_on), *cells(rule, held)) for name, rule in WAYS]
    return rows


def voices(heard: Sequence[Witnesses]) -> list[tuple[str, ...]]:
    """Returns the table of the voices, by the rule as it is."""
    rows: list[tuple[str, ...]] = [("voice", "sentences that end at once, %", "pauses that are cut into, %")]
    for voice in dict.fromkeys(one.voice for one in heard):
        own = [one for one in heard if one.voice == voice]
        shares = [
            100 * float(np.mean([both(SURE)(one) == QUICK_MS for one in own if one.has_ended is has_ended]))
            for has_ended in (True, False)
        ]
        rows.append((voice, *(f"{share:.0f}" for share in shares)))
    return rows


async def measure(args: argparse.Namespace) -> None:
    """Prints the tables."""
    print(markdown([("", ""), *facts()]), flush=True)
    chosen_on = [*await clips(SENTENCES, PAUSED), *await clips(FRESH, FRESH_PAUSED)][:: args.every]
    known, held = await witnesses(chosen_on), await witnesses((await held_out())[:: args.every])
    print("\n" + markdown(table(known, held)))
    print("\n" + markdown(voices([*known, *held])))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="take every so manieth clip, for a trial")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
