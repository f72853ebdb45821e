"""The metrics of the telephone side for Prometheus."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bridge.line.call import Call, CallObserver
from bridge.line.utterance import Utterance

LATENESS_BUCKETS_S: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.010, 0.020, 0.060, 0.2)
REFUSALS: Final = ("full", "overloaded", "closing", "used", "unregistered")


class Metrics(CallObserver):
    """The bridge's metrics on `registry`, to which the speech endpoints add their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.calls = Counter("talkspurt_calls", "Calls taken", registry=registry)
        # Where several processes carry calls, theirs are added up: those in progress of the living, frames of all.
        self.calls_active = Gauge(
            "talkspurt_calls_active", "Calls in progress", registry=registry, multiprocess_mode="livesum"
        )
        self.calls_ended = Counter("talkspurt_calls_ended", "Calls ended, by reason", ["reason"], registry=registry)
        self.calls_refused = Counter(
            "talkspurt_calls_refused",
            "Calls not taken, or not announced, by reason: full, overloaded, closing, used, unregistered",
            ["reason"],
            registry=registry,
        )
        for reason in REFUSALS:
            self.calls_refused.labels(reason)  # Prometheus sees no increase in a counter that it has not seen at 0
        self.interrupts = Counter("talkspurt_interrupts", "Utterances cut", registry=registry)
        self.underruns = Counter(
            "talkspurt_underrun_frames", "Frames of silence inside speech that was not made in time", registry=registry
        )
        self.missed = Gauge(
            "talkspurt_clock_missed_frames",
            "Frames dropped because the process stood still",
            registry=registry,
            multiprocess_mode="sum",
        )
        self.lateness = Histogram(
            "talkspurt_clock_lateness_seconds",
            "How late the 20 ms clock ran",
            buckets=LATENESS_BUCKETS_S,
            registry=registry,
        )

    def call_refused(self, reason: str) -> None:
        """Counts a call that is not taken."""
        self.calls_refused.labels(reason).inc()

    def call_started(self, call: Call) -> None:
        """Counts a call, and observes what becomes of it."""
        self.calls.inc()
        self.calls_active.inc()
        call.observe(self)

    def utterance_underrun(self, utterance: Utterance) -> None:
        self.underruns.inc()

    def utterance_done(self, utterance: Utterance) -> None:
        self.interrupts.inc(utterance.interrupted)

    def call_ended(self, call: Call) -> None:
        self.calls_active.dec()
        self.calls_ended.labels(call.end_reason.partition(":")[0]).inc()
