"""What a server holds over time, and whether it grows: samples, the slope by least squares, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

MIB = 2**20


@dataclass(slots=True)
class Samples:
    """What was seen at each look, in the order of the looks."""

    at_s: list[float] = field(default_factory=list)
    memory_bytes: list[int] = field(default_factory=list)
    """Of the server's process."""
    collected: list[tuple[float, int]] = field(default_factory=list)
    """When it was seen after a collection of what nobody refers to any more, and its memory then."""
    family_bytes: list[int] = field(default_factory=list)
    """Of it and its children."""
    calls: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    p999_ms: list[float] = field(default_factory=list)
    """The lateness of the frames of those calls that ended since the look before; not a number where none did."""

    def slope_mb_h(self, warm_up_s: float) -> float:
        """Returns by how many MiB an hour the server's process grows, once it is warm.

        It counts after collections alone: what waits for the next one comes and goes by tens of MiB.
        """
        at_s, memory_bytes = zip(*self.collected, strict=True) if self.collected else ((), ())
        return _slope(at_s, np.array(memory_bytes) / MIB, warm_up_s) * 3_600

    def lateness_slope_ms_h(self, warm_up_s: float) -> float:
        """Returns by how many ms an hour p99.9 of lateness grows."""
        return _slope(self.at_s, np.array(self.p999_ms), warm_up_s) * 3_600

    def plot(self, path: Path, title: str) -> None:
        """Draws memory, descriptors and lateness over time."""
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot

        figure, (memory, held, late) = pyplot.subplots(3, 1, figsize=(10, 8), sharex=True)
        minutes = np.array(self.at_s) / 60
        memory.plot(minutes, np.array(self.memory_bytes) / MIB, label="server")
        memory.plot(
            *([at_s / 60 for at_s, _ in self.collected], [held / MIB for _, held in self.collected]),
            "o",
            label="server, after a collection",
        )
        memory.plot(minutes, np.array(self.family_bytes) / MIB, label="with its children")
        memory.set_ylabel("memory, MiB")
        memory.legend()
        held.plot(minutes, self.calls, label="calls")
        held.plot(minutes, self.descriptors, label="descriptors")
        held.legend()
        late.plot(minutes, self.p999_ms, ".")
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


def _slope(at_s: Sequence[float], values: NDArray[np.float64], warm_up_s: float) -> float:
    """Returns the change a second by least squares."""
    times = np.array(at_s)
    counts = (times >= warm_up_s) & ~np.isnan(values)
    return float(np.polyfit(times[counts], values[counts], 1)[0]) if counts.sum() > 2 else float("nan")
