"""What a server holds over time, and whether it grows: samples, the slope by least squares, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Minute:
    """What was seen at the end of a minute."""

    at_s: float
    memory_bytes: int
    """Of the server's process, after a collection of what nobody refers to any more."""
    p999_ms: float
    """The lateness of the frames of those calls that ended in the minute; not a number where none did."""


@dataclass(slots=True)
class Samples:
    """What was seen at each look, in the order of the looks, and what at the end of each minute."""

    at_s: list[float] = field(default_factory=list)
    memory_bytes: list[int] = field(default_factory=list)
    """Of the server's process."""
    family_bytes: list[int] = field(default_factory=list)
    """Of it and its children."""
    calls: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    minutes: list[Minute] = field(default_factory=list)

    def slope_mb_h(self, warm_up_s: float) -> float:
        """Returns by how many MiB an hour the server's process grows, once it is warm.

        It counts after collections alone: what waits for the next one comes and goes by tens of MiB.
        """
        return _slope(self.minutes, [minute.memory_bytes / MIB for minute in self.minutes], warm_up_s) * 3_600

    def lateness_slope_ms_h(self, warm_up_s: float) -> float:
        """Returns by how many ms an hour each minute's p99.9 of lateness grows."""
        return _slope(self.minutes, [minute.p999_ms for minute in self.minutes], warm_up_s) * 3_600

    def plot(self, path: Path, title: str) -> None:
        """Draws memory, descriptors and lateness over time."""
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot

        figure, (memory, held, late) = pyplot.subplots(3, 1, figsize=(10, 8), sharex=True)
        looks = np.array(self.at_s) / 60
        minutes = [minute.at_s / 60 for minute in self.minutes]
        memory.plot(looks, np.array(self.memory_bytes) / MIB, label="server")
        collected = [minute.memory_bytes / MIB for minute in self.minutes]
        memory.plot(minutes, collected, "o", label="server, after a collection")
        memory.plot(looks, np.array(self.family_bytes) / MIB, label="with its children")
        memory.set_ylabel("memory, MiB")
        memory.legend()
        held.plot(looks, self.calls, label="calls")
        held.plot(looks, self.descriptors, label="descriptors")
        held.legend()
        late.plot(minutes, [minute.p999_ms for minute in self.minutes], "o")
        late.set_ylabel("lateness p99.9, ms")
        late.set_xlabel("minutes")
        figure.suptitle(title)
        figure.tight_layout()
        figure.savefig(path, dpi=90)


class ClockLateness:
    """The lateness of the server's clock, from its metrics: what callers behind an Asterisk cannot measure."""

    def __init__(self) -> None:
        self._before: dict[float, float] = {}

    def p999_ms(self, metrics: str) -> float:
        """Returns within how many ms 99.9 % of the frames left since the last time; a bound of the histogram."""
        now = {
            float(sample.labels["le"]): sample.value
            for family in text_string_to_metric_families(metrics)
            for sample in family.samples
            if sample.name == "talkspurt_clock_lateness_seconds_bucket"
        }
        new = {bound_s: count - self._before.get(bound_s, 0.0) for bound_s, count in sorted(now.items())}
        self._before = now
        total = max(new.values(), default=0.0)
        return next(
            (bound_s * 1000 for bound_s, count in new.items() if total and count >= 0.999 * total), float("nan")
        )


def _slope(minutes: Sequence[Minute], values: Sequence[float], warm_up_s: float) -> float:
    """Returns the change a second by least squares; not a number with fewer than three values."""
    seen = [(minute.at_s, value) for minute, value in zip(minutes, values, strict=True)]
    warm = np.array([each for each in seen if each[0] >= warm_up_s and not np.isnan(each[1])])
    return float(np.polyfit(warm[:, 0], warm[:, 1], 1)[0]) if len(warm) > 2 else float("nan")
