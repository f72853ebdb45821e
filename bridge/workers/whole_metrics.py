"""The metrics of all workers for Prometheus, added up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

CALLS_ACTIVE: Final = "talkspurt_calls_active"


class WholeMetrics(Collector):
    """What the workers count in files of a folder. Calls in progress are those of the server before this one too."""

    def __init__(self, folder: Path, calls: Callable[[], int]) -> None:
        """`calls` tells how many are in progress. A server that drains has some, and counts in a folder of its own."""
        self._workers = MultiProcessCollector(None, str(folder))  # type: ignore[no-untyped-call]
        self._calls = calls

    def describe(self) -> list[Metric]:
        """Returns nothing: the workers have not counted yet."""
        return []

    def collect(self) -> Iterable[Metric]:
        for metric in self._workers.collect():  # type: ignore[no-untyped-call]
            if metric.name != CALLS_ACTIVE:
                yield metric
        yield GaugeMetricFamily(CALLS_ACTIVE, "Calls in progress", float(self._calls()))
