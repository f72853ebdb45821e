"""The engine's metrics for Prometheus: counts and levels of its `status`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from engine.speech import Engine

COUNTERS: Final = {
    "voice_cache_hits": ("talkspurt_voice_cache_hits", "Cloned voices that the engine had ready when they were needed"),
    "voice_cache_misses": ("talkspurt_voice_cache_misses", "Cloned voices that had to be taken from their recording"),
    "refused": ("talkspurt_engine_refused", "Sentences refused for want of a place"),
    "faults": ("talkspurt_engine_faults", "Processes of the engine that were lost while they worked"),
    "idle_unloads": ("talkspurt_engine_idle_unloads", "Times that the model was unloaded because nobody spoke"),
    "sentences_by_spare": ("talkspurt_sentences_by_spare", "Sentences that the embedded voice spoke for the engine"),
    "sentences_moved": ("talkspurt_sentences_moved", "Sentences in the middle of which another replica went on"),
}
GAUGES: Final = {
    "voice_cache_size": ("talkspurt_voice_cache_size", "Cloned voices that the engine has ready"),
    "gpu_allocated_mb": ("talkspurt_gpu_allocated_megabytes", "GPU memory in use by the engine"),
    "capacity": ("talkspurt_engine_capacity", "Sentences at once that the engine was found to keep up with"),
}
REPLICAS: Final = {
    "up": ("talkspurt_replica_up", "1 where the replica can be asked, and speaks"),
    "sentences": ("talkspurt_replica_sentences", "Sentences that the replica makes, of all bridges"),
    "places": ("talkspurt_replica_places", "Sentences at once that the replica keeps up with"),
    "slack_ms": ("talkspurt_replica_slack_milliseconds", "The least that any caller of the replica has ahead"),
    "losses": ("talkspurt_replica_losses", "Times that the link to the replica was lost"),
}


class EngineCollector(Collector):
    """Reads the engine's status whenever Prometheus asks; values that the engine does not tell are left out."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe(self) -> list[Metric]:
        """Returns nothing: the metrics depend on the engine, which may not be started yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        status = self._engine.status().told()
        for key, (name, told) in COUNTERS.items():
            if key in status:
                yield CounterMetricFamily(name, told, status[key])
        for key, (name, told) in GAUGES.items():
            if key in status:
                yield GaugeMetricFamily(name, told, status[key])
        if replicas := status.get("replicas", []):
            yield from _of_replicas(replicas)


def _of_replicas(replicas: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    """Yields what is told of each replica, with its address as a label."""
    for key, (name, told) in REPLICAS.items():
        family = CounterMetricFamily if key == "losses" else GaugeMetricFamily
        metric = family(name, told, labels=["replica"])
        for each in replicas:
            if each.get(key) is not None:
                metric.add_metric([each["replica"]], float(each[key]))
        yield metric
