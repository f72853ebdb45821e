"""Measures how long after a barge-in signal the agent's last voiced sample left for the wire."""

from __future__ import annotations

from collections.abc import Callable

from bridge.line.call import CallObserver
from bridge.line.playout import Playout


class SilenceMeter(CallObserver):
    """Watches a call's frames from a signal until the agent is silent."""

    def __init__(self, playout: Playout, on_measured: Callable[[float], None], now_s: Callable[[], float]) -> None:
        self._playout = playout
        self._on_measured = on_measured
        self._now_s = now_s
        self._signal_s: float | None = None
        self._voiced_s = 0.0

    def signal(self) -> None:
        """Starts a measurement: the agent is to fall silent now. Does nothing if it is silent already."""
        if self._signal_s is None and self._playout.speaking:
            self._signal_s = self._voiced_s = self._now_s()

    def frame_sent(self, pcm: bytes, rate_hz: int) -> None:
        if self._signal_s is None:
            return
        if pcm.strip(b"\0"):
            self._voiced_s = self._now_s()
            return
        elapsed_s, self._signal_s = self._voiced_s - self._signal_s, None
        self._on_measured(elapsed_s)
