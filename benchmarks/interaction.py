"""Measures what makes the agent yield, and what does not: python -m benchmarks.interaction

Callers interrupt, say "mm-hm", cough, and talk to somebody beside them, in several voices, while the agent speaks. The
measures are tau-voice's (tau2-bench, docs/interaction-metrics.md), taken at the caller's end of the line.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.machine import facts
from benchmarks.table import markdown
from bridge.converse.report import write
from bridge.converse.scenario import ModelAnswer, Scenario, Step
from bridge.converse.server_group import Outcome, try_all
from bridge.converse.voices import Voices, embedded_voice
from bridge.interaction.reaction import TICK_S, YIELD_S, react

KINDS = {
    "interruption": ("Stop it, please.", "Wait a moment.", "No, that is wrong.", "Excuse me, I have a question.",
                     "Hello?", "Can I say something?", "That is enough, thank you.", "What does it cost?"),
    "mm-hm": ("Mm-hm.", "Uh huh.", "Yeah.", "Okay.", "Right.", "I see.", "Hm.", "Got it."),
    "cough": ("",),
    "side talk": ("Dinner is ready in five minutes.", "Put it on the table.", "Have you seen my keys?",
                  "I am on the phone."),
}  # fmt: skip
VOICES = ("second", "pico-en-US", "pico-en-GB", "onyx", "nova")
BESIDE = ("ryan", "coral", "eric")
"""Who speaks beside the caller, and `BESIDE_DB` softer than the caller would."""
BESIDE_DB = -12
SIDE_TALK_DB = ("0", "8")
"""Its default, under which whatever sounds like speech pauses the agent, and what is advised."""
EACH_CALL = 5
BETWEEN_MS = (1_600, 2_100, 1_900, 2_600, 2_300)
"""The agent's speech before each of a call's sounds."""
MONOLOGUE = (
    "The old house beside the river has three floors and every floor tells another part of the story of this town "
    "and of the people who came here on their boats to sell salt and wool and wine from the valley. "
) * 12
BEST = {"interruption": "1.00 after 410 ms", "mm-hm": ".97", "cough": ".62", "side talk": ".58"}
"""The best entry of tau-voice's leaderboard in each measure; no entry has them together."""


@dataclass
class Score:
    """What came of all sounds of one kind."""

    silent_ms: list[float] = field(default_factory=list)
    paused_ms: list[float] = field(default_factory=list)
    yields: int = 0
    goes_on: int = 0
    talks_through: int = 0
    count: int = 0


def scenarios(kind: str, count: int, side_talk_db: str, recogniser: str) -> Iterator[Scenario]:
    """Yields calls with `count` sounds of one kind in all."""
    texts, voices, beside = cycle(KINDS[kind]), cycle(VOICES), cycle(BESIDE)
    for number in range(count // EACH_CALL):
        steps = [Step(say="Tell me about the house.")]
        for between_ms in BETWEEN_MS:
            when, text = f"after {between_ms} ms", next(texts)
            if kind == "cough":
                steps.append(Step(sound="cough", when=when))
            elif kind == "side talk":
                steps.append(Step(say=text, voice=next(beside), level_db=BESIDE_DB, when=when))
            else:
                steps.append(Step(say=text, when=when))
        steps += [Step(wait_ms=2_500), Step(hang_up=True, when="at once")]
        yield Scenario(
            name=f"{kind} {number}, {side_talk_db} dB",
            server={
                "SIDE_TALK_DB": side_talk_db,
                "FILLER_AFTER_MS": "0",
            },
            recogniser="embedded" if recogniser == "embedded" else "told",
            voice=next(voices),
            answers=[ModelAnswer(say=MONOLOGUE, token_ms=0)],
            caller=steps,
            longest_s=120,
        )


def add(outcome: Outcome, score: Score) -> str:
    """Adds what one call shows to a score; returns what went wrong with the call, if anything did."""
    timeline = outcome.timeline
    acts = [act for act in timeline.acts if 0 < act.step <= EACH_CALL]
    for number, act in enumerate(acts):
        later_s = acts[number + 1].start_s if number + 1 < len(acts) else act.end_s + YIELD_S
        reaction = react(timeline.agent, act.start_s, act.end_s, later_s)
        if reaction is None:
            continue
        dropped = bool(timeline.dropped(act.start_s, min(act.end_s + YIELD_S, later_s)))
        score.count += 1
        score.goes_on += not dropped
        if not dropped:
            score.paused_ms.append(reaction.longest_pause_s * 1000)
        score.talks_through += reaction.talks_through
        if reaction.silent_s is not None:
            score.silent_ms.append(reaction.silent_s * 1000)
            score.yields += dropped
    return timeline.problem


def rows(off: dict[str, Score], on: dict[str, Score]) -> list[tuple[str, ...]]:
    """Returns the table."""

    def share(score: Score, count: int) -> str:
        return f"{count / score.count:.2f} (n {score.count})" if score.count else "–"

    def spread(values_ms: list[float]) -> str:
        if not values_ms:
            return "–"
        p50, p95 = np.quantile(values_ms, (0.5, 0.95), method="inverted_cdf")
        return f"{p50:.0f} / {p95:.0f} ms"

    both = (off, on)
    first = "interruption"
    table = [("", "best of tau-voice", *(f"SIDE_TALK_DB={db}" for db in SIDE_TALK_DB))]
    table.append((f"{first}: yields within 2 s", BEST[first], *(share(one[first], one[first].yields) for one in both)))
    table.append((f"{first}: first sound → silence, p50 / p95", "", *(spread(one[first].silent_ms) for one in both)))
    for kind in ("mm-hm", "cough", "side talk"):
        table.append((f"{kind}: the answer is not dropped", "", *(share(one[kind], one[kind].goes_on) for one in both)))
        through = (share(one[kind], one[kind].talks_through) for one in both)
        table.append((f"{kind}: its pause then, p50 / p95", "", *(spread(one[kind].paused_ms) for one in both)))
        table.append((f"{kind}: no {TICK_S * 1000:.0f} ms of silence either", BEST[kind], *through))
    return table


async def measure(args: argparse.Namespace) -> None:
    """Prints the table."""
    before = facts()
    found: list[dict[str, Score]] = []
    async with embedded_voice() as engine:
        voices = Voices(engine)
        for side_talk_db in SIDE_TALK_DB:
            scores = {kind: Score() for kind in KINDS}
            kinds = {kind: list(scenarios(kind, args.sounds, side_talk_db, args.recogniser)) for kind in KINDS}
            kind_of = {scenario.name: kind for kind, calls in kinds.items() for scenario in calls}
            every = [scenario for calls in kinds.values() for scenario in calls]
            for outcome in await try_all(every, voices, calls=args.calls):
                problem = add(outcome, scores[kind_of[outcome.scenario.name]])
                if problem:
                    print(f"{outcome.scenario.name}: {problem}", flush=True)
                if args.keep:
                    args.keep.mkdir(parents=True, exist_ok=True)
                    write(outcome, args.keep)
            found.append(scores)
    print(markdown([("", ""), *before, ("load after", f"{os.getloadavg()[0]:.2f} (1 minute)")]))
    print("\n" + markdown(rows(*found)))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sounds", type=int, default=40, help="of each kind, in all")
    parser.add_argument("--calls", type=int, default=2, help="at once")
    parser.add_argument("--recogniser", choices=("embedded", "told"), default="embedded")
    parser.add_argument("--keep", type=Path, help="a folder for the recordings")
    uvloop.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
