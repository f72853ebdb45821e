"""A day of a fleet, simulated from measured service times: python -m benchmarks.fleet [--calls 10000]

Calls come and go by chance, all machines take a new version in turn, and a rack is lost in the busiest hour. Prints the
bill of machines and what each event costs, and draws docs/fleet.png. It takes some seconds.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import simpy

from benchmarks.table import markdown

PICTURE: Final = Path(__file__).parents[1] / "docs" / "fleet.png"

# Measured: docs/scaling.md and docs/performance.md say how.
CALLS_A_CORE: Final = 71
"""Conversing calls that fill the core of one of fourteen workers, with the local detector and the echo canceller."""
CALLS_A_GPU: Final = 1_000
"""An H100 spoke to 1,024 without a pause, and none was late."""
FIRST_SOUND_P95_MS: Final = ((1, 4.0), (16, 6.9), (64, 10.3), (256, 21.4), (512, 39.9), (1_024, 76.6))
"""By the calls that the GPU speaks to: docs/gpu.md, "Calls on the GPU"."""
START_S: Final = 8.3
"""A replica's start, warm, until its first sound."""

# Chosen.
CORES: Final = 16
OTHER_CORES: Final = 2
"""Of each bridge's: one for the supervisor and its links, one for the embedded voice."""
LOADED, STRAINED = 0.7, 0.9
"""The share that may be taken on a good day, and while a rack is gone."""
RACKS: Final = 3
CALL_S: Final = 180.0
DRAIN_S: Final = 6.0
"""The longest sentence that a replica ends."""
EMPTY_S: Final = 120.0
"""A bridge's machine is started anew in this time once its last call has ended."""
STEP_S: Final = 5
HOUR_S: Final = 3_600
DEPLOY_S, LOST_S, BACK_S = 9 * HOUR_S, 15 * HOUR_S, 16 * HOUR_S


@dataclass
class Machine:
    """A bridge's host or a GPU."""

    rack: int
    room: float
    calls: int = 0
    up: bool = True
    draining: bool = False

    @property
    def takes(self) -> bool:
        return self.up and not self.draining


def per_rack(calls: int, room: float) -> int:
    """Returns the machines of each rack: all carry the calls at ease, and without one rack they still do."""
    at_ease = calls / (room * LOADED) / RACKS
    without_one = calls / (room * STRAINED) / (RACKS - 1)
    return math.ceil(max(at_ease, without_one))


def share_of_day(now_s: float) -> float:
    """Returns how many of the busiest hour's calls there are: few at three, most at fifteen o'clock."""
    return 0.55 + 0.45 * math.cos((now_s / HOUR_S - 15) / 24 * 2 * math.pi)


def first_sound_ms(speaking: float) -> float:
    """Returns the p95 of a GPU that speaks to so many calls, between the measured figures."""
    calls, times_ms = zip(*FIRST_SOUND_P95_MS, strict=True)
    return float(np.interp(speaking, calls, times_ms))


@dataclass
class Fleet:
    """The machines, their calls, and what becomes of both in a day."""

    peak: int
    speaking: float
    """The share of a call in which the agent speaks."""
    seed: int = 1
    refused: int = 0
    resumed: int = 0
    moved: int = 0
    """Sentences that went on with another replica."""
    samples: list[tuple[float, int, float, float]] = field(default_factory=list)
    """Time, calls, the busiest bridge's share of its cores, the slowest GPU's first sound in ms."""

    def __post_init__(self) -> None:
        self.chance = np.random.default_rng(self.seed)
        room = CALLS_A_CORE * (CORES - OTHER_CORES)
        spoken = math.ceil(self.peak * self.speaking)
        self.bridges = [Machine(rack, room) for rack in range(RACKS) for _ in range(per_rack(self.peak, room))]
        self.gpus = [Machine(rack, CALLS_A_GPU) for rack in range(RACKS) for _ in range(per_rack(spoken, CALLS_A_GPU))]

    def run(self) -> None:
        """Lets a day pass."""
        env = simpy.Environment()
        for part in (self._calls(env), self._deploy_bridges(env), self._deploy_gpus(env), self._lose_a_rack(env)):
            env.process(part)
        env.run(24 * HOUR_S)

    def _calls(self, env: simpy.Environment) -> Iterator[Any]:
        self._arrive(round(self.peak * share_of_day(0)))
        while True:
            for bridge in self.bridges:  # a call's end is as likely in each second, so its age need not be known
                bridge.calls -= self.chance.binomial(bridge.calls, -math.expm1(-STEP_S / CALL_S))
            self._arrive(self.chance.poisson(self.peak * share_of_day(env.now) / CALL_S * STEP_S))
            self._note(env.now)
            yield env.timeout(STEP_S)

    def _arrive(self, calls: int) -> None:
        """Sends each call to the emptiest bridge, and refuses it where none has room."""
        for _ in range(calls):
            bridge = min((each for each in self.bridges if each.takes), key=lambda each: each.calls, default=None)
            if bridge is None or bridge.calls >= bridge.room:
                self.refused += 1
            else:
                bridge.calls += 1

    def _note(self, now_s: float) -> None:
        calls = sum(each.calls for each in self.bridges)
        busiest = max(each.calls / each.room for each in self.bridges)
        speaking = self.chance.binomial(calls, self.speaking)
        gpus = [each for each in self.gpus if each.takes]
        self.samples.append((now_s, calls, busiest, first_sound_ms(speaking / len(gpus))))

    def _deploy_bridges(self, env: simpy.Environment) -> Iterator[Any]:
        yield env.timeout(DEPLOY_S)
        for bridge in self.bridges:
            bridge.draining = True
            while bridge.calls:
                yield env.timeout(STEP_S)
            yield env.timeout(EMPTY_S)
            bridge.draining = False

    def _deploy_gpus(self, env: simpy.Environment) -> Iterator[Any]:
        yield env.timeout(DEPLOY_S)
        for gpu in self.gpus:
            gpu.draining = True
            yield env.timeout(DRAIN_S + START_S)
            gpu.draining = False

    def _lose_a_rack(self, env: simpy.Environment) -> Iterator[Any]:
        yield env.timeout(LOST_S)
        staying = sum(
            each.calls for each in self.bridges if each.rack != 0
        )  # the others' sentences end with their bridge
        self.moved += round(staying * self.speaking * sum(each.rack == 0 for each in self.gpus) / len(self.gpus))
        lost = 0
        for machine in self.bridges + self.gpus:
            if machine.rack == 0:
                lost, machine.calls, machine.up = lost + machine.calls, 0, False
        before = self.refused
        self._arrive(lost)  # by the dialplan's second server
        self.resumed += lost - (self.refused - before)
        yield env.timeout(BACK_S - LOST_S)
        for machine in self.bridges + self.gpus:
            machine.up = True

    def worst(self, from_s: float, to_s: float) -> tuple[int, float, float]:
        """Returns the most calls, the busiest core's share and the slowest first sound between two times."""
        within = [sample for sample in self.samples if from_s <= sample[0] < to_s]
        return max(one[1] for one in within), max(one[2] for one in within), max(one[3] for one in within)


def report(fleet: Fleet) -> str:
    """Returns the bill and the day as tables."""
    bill = [
        ("machines", "in all", "in each of 3 racks", "what one carries"),
        ("bridges of 16 cores", *_counts(fleet.bridges), f"{fleet.bridges[0].room:,.0f} calls"),
        ("GPUs", *_counts(fleet.gpus), f"{CALLS_A_GPU:,} calls spoken to at once"),
    ]
    deployed_s = max((DEPLOY_S + 1, *(one[0] for one in fleet.samples if one[0] < LOST_S)))
    rows = [("time", "calls at most", "busiest bridge's cores", "first sound p95 at most")]
    for name, from_s, to_s in (
        ("the night", 0, 6 * HOUR_S),
        ("a new version, from 9:00 on", DEPLOY_S, deployed_s),
        ("a rack is gone, 15:00 to 16:00", LOST_S, BACK_S),
        ("the evening", BACK_S + HOUR_S, 24 * HOUR_S),
    ):
        calls, share, first_ms = fleet.worst(from_s, to_s)
        rows.append((name, f"{calls:,}", f"{share:.0%}".replace("%", " %"), f"{first_ms:.1f} ms"))
    told = f"{fleet.refused:,} calls refused, {fleet.resumed:,} resumed, {fleet.moved:,} sentences moved"
    return "\n\n".join((markdown(bill), markdown(rows), told))


def _counts(machines: list[Machine]) -> tuple[str, str]:
    return str(len(machines)), str(len(machines) // RACKS)


def draw(fleet: Fleet, path: Path) -> None:
    """Draws the day."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    hours = [one[0] / HOUR_S for one in fleet.samples]
    figure, axes = pyplot.subplots(3, 1, figsize=(9, 6), sharex=True)
    for axis, values, label in (
        (axes[0], [one[1] for one in fleet.samples], "calls"),
        (axes[1], [one[2] * 100 for one in fleet.samples], "busiest bridge's\ncores, %"),
        (axes[2], [one[3] for one in fleet.samples], "first sound\np95, ms"),
    ):
        axis.plot(hours, values, linewidth=0.8)
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.axvspan(LOST_S / HOUR_S, BACK_S / HOUR_S, color="0.85", label="a rack is gone")
        axis.axvline(DEPLOY_S / HOUR_S, color="tab:green", linestyle="--", label="a new version begins")
    axes[0].legend(loc="lower right")
    axes[2].set_xlabel("hour of the day")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000, help="calls at once in the busiest hour")
    parser.add_argument("--speaking", type=float, default=1.0, help="share of a call in which the agent speaks")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    args = parser.parse_args()
    fleet = Fleet(args.calls, args.speaking)
    fleet.run()
    print(report(fleet))
    draw(fleet, args.picture)


if __name__ == "__main__":
    main()
