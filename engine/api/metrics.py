"""The metrics of the speech endpoints for Prometheus."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

FIRST_AUDIO_BUCKETS_S: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
TOTAL_BUCKETS_S: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class SpeechMetrics:
    """The endpoints' metrics on `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.requests = Counter(
            "talkspurt_speech_requests",
            "Speech requests, by endpoint, format and how they ended: ok, gone, slow or an error's code",
            ["endpoint", "format", "outcome"],
            registry=registry,
        )
        self.first_audio = Histogram(
            "talkspurt_speech_first_audio_seconds",
            "From a valid request to its first audio, cached ones left out",
            ["endpoint"],
            buckets=FIRST_AUDIO_BUCKETS_S,
            registry=registry,
        )
        self.total = Histogram(
            "talkspurt_speech_total_seconds",
            "From a valid request to its last audio, by endpoint",
            ["endpoint"],
            buckets=TOTAL_BUCKETS_S,
            registry=registry,
        )
        self.audio = Counter("talkspurt_speech_audio_seconds", "Audio sent, how long it plays", registry=registry)
        self.characters = Counter("talkspurt_speech_characters", "Characters of text asked for", registry=registry)
        self.queue_depth = Gauge("talkspurt_speech_queue_depth", "Requests being synthesised", registry=registry)
        self.cache_hits = Counter("talkspurt_audio_cache_hits", "Replies out of the cache", registry=registry)
        self.cache_misses = Counter("talkspurt_audio_cache_misses", "Replies that had to be made", registry=registry)
