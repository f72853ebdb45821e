"""Measures how long after a barge-in signal the agent's last voiced sample left for the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from bridge.conversation.metrics import ConversationMetrics
from bridge.line.call import Call, CallObserver

log = structlog.get_logger(__name__)

MAX_KEPT: Final = 1_000
"""How many times from a barge-in to silence are kept for the call's JSON."""


class SilenceMeter(CallObserver):
    """Watches a call's frames from a signal until the agent is silent."""

    def __init__(
        self,
        call: Call,
        metrics: ConversationMetrics,
        now_s: Callable[[], float],
        measured: Callable[[float], None],
    ) -> None:
        """`measured` is told each time, in ms."""
        self.silences_ms: list[float] = []
        """What was measured, the latest times."""
        self._call = call
        self._metrics = metrics
        self._now_s = now_s
        self._measured = measured
        self._signal_s: float | None = None
        self._voiced_s = 0.0

    def signal(self) -> None:
        """Starts a measurement: the agent is to fall silent now. Does nothing if it is silent already."""
        if self._signal_s is None and self._call.playout.speaking:
            self._signal_s = self._voiced_s = self._now_s()

    def frame_sent(self, pcm: bytes, rate_hz: int) -> None:
        if self._signal_s is None:
            return
        if pcm.strip(b"\0"):
            self._voiced_s = self._now_s()
            return
        elapsed_s, self._signal_s = self._voiced_s - self._signal_s, None
        silence_ms = round(elapsed_s * 1000, 1)
        log.info("interrupted", call=str(self._call.id), silence_ms=silence_ms)
        self.silences_ms.append(silence_ms)
        del self.silences_ms[:-MAX_KEPT]
        self._metrics.silence.observe(elapsed_s)
        self._measured(silence_ms)
