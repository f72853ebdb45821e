"""What `benchmarks.host` found, as a table."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.host_callers import PATIENCE_S

HEAD: Final = (
    *("calls", "late p50, ms", "p99", "p99.9", "max", "missing", "silent", "first sound p50, ms", "p95", "answers"),
    *("unanswered", "workers", "busiest", "supervisor", "engine", "callers", "services", "GPU", "calls a core"),
)


@dataclass(slots=True)
class Row:
    """One load. Shares are of one core."""

    calls: int
    late_ms: np.ndarray[Any, Any]
    missing: int
    silent: int
    first_ms: list[float]
    unanswered: int
    lost: int
    """The calls that did not connect, and those that the server ended."""
    workers: list[float]
    supervisor: float
    engines: list[float]
    callers: list[float]
    services: list[float]
    gpu: float | None
    voiced: int
    """The frames in which an agent speaks."""
    callers_late_ms: float

    def more(self) -> str:
        """Returns in words what the table has no column for."""
        return (
            f"agents speak {self.voiced / self.late_ms.size:.0%} of the time; the callers' own frames were at most "
            f"{self.callers_late_ms:.1f} ms late; a worker carries {self.calls / sum(self.workers):.0f} calls a core"
        )

    def cells(self) -> tuple[str, ...]:
        late = np.quantile(self.late_ms, (0.5, 0.99, 0.999, 1.0), method="inverted_cdf")
        first = np.quantile(self.first_ms, (0.5, 0.95), method="inverted_cdf") if self.first_ms else (np.nan, np.nan)
        server = sum(self.workers) + self.supervisor + sum(self.engines)
        return (
            *(f"{self.calls:,}", *(f"{value:.2f}" for value in late)),
            *(f"{self.missing} of {self.late_ms.size + self.missing:,}", str(self.silent)),
            *(*(f"{value:.0f}" for value in first), f"{len(self.first_ms):,}", f"{self.unanswered + self.lost}"),
            *(f"{sum(self.workers):.2f} of {len(self.workers)}", f"{max(self.workers):.0%}", f"{self.supervisor:.0%}"),
            *(" + ".join(f"{share:.0%}" for share in self.engines), f"{sum(self.callers):.2f}"),
            *(
                f"{sum(self.services):.2f}",
                "–" if self.gpu is None else f"{self.gpu:.0%}",
                f"{self.calls / server:.0f}",
            ),
        )


def first_sounds_ms(texts: Sequence[tuple[str, float]], heard: Sequence[tuple[str, float]]) -> list[float]:
    """Returns for each text that was heard how long after it the first voiced frame came. Both are (call, time)."""
    voices: defaultdict[str, list[float]] = defaultdict(list)
    for call_id, at_s in sorted(heard, key=lambda each: each[1]):
        voices[call_id].append(at_s)
    found = []
    for call_id, at_s in texts:
        following = voices[call_id][bisect_right(voices[call_id], at_s) :]
        if following and following[0] - at_s < PATIENCE_S:
            found.append((following[0] - at_s) * 1e3)
    return found
