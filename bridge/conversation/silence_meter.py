"""Measures how long after a barge-in signal the last voiced sample of the agent left."""

from __future__ import annotations

from collections.abc import Callable

from bridge.line.call import Call


class SilenceMeter:
    """Watches a call's frames from a signal until the agent is silent."""

    def __init__(self, call: Call, on_measured: Callable[[float], None], now_s: Callable[[], float]) -> None:
        self._call = call
        self._on_measured = on_measured
        self._now_s = now_s
        self._signal_s: float | None = None
        self._voiced_s = 0.0

    def signal(self) -> None:
        """The agent is to fall silent now. Nothing to measure if it is."""
        playing = self._call.playout.current
        if self._signal_s is None and playing is not None and playing.started and not self._call.playout.paused:
            self._signal_s = self._voiced_s = self._now_s()
            self._call.frame_listeners.append(self._frame)

    def _frame(self, pcm: bytes, rate_hz: int) -> None:
        assert self._signal_s is not None
        if pcm.strip(b"\0"):
            self._voiced_s = self._now_s()
            return
        elapsed_s, self._signal_s = self._voiced_s - self._signal_s, None
        self._call.frame_listeners.remove(self._frame)
        self._on_measured(elapsed_s)
