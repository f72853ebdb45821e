"""Makes speech faster or slower at the same pitch, in a stream, by FFmpeg's `atempo`."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import av
import numpy as np
from av.filter import Graph

from engine.speech import Pcm

SLOWEST: Final = 0.5  # the least factor of one filter; slower speech goes through two


class TimeStretch:
    """Takes PCM and returns 1 / speed as much of it. speed: 0.25 to 4."""

    def __init__(self, speed: float, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._samples = 0
        graph = Graph()
        source = graph.add_abuffer(
            sample_rate=sample_rate_hz, format="s16", layout="mono", time_base=Fraction(1, sample_rate_hz)
        )
        last = source
        factors = [speed] if speed >= SLOWEST else [speed**0.5] * 2
        for factor in factors:
            stretch = graph.add("atempo", f"{factor:.6f}")
            last.link_to(stretch)
            last = stretch
        sink = graph.add("abuffersink")
        last.link_to(sink)
        graph.configure()
        self._graph, self._source, self._sink = graph, source, sink

    def push(self, pcm: Pcm) -> Pcm:
        """Takes in PCM. Returns what is ready of the result."""
        if pcm.size:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm)[None], format="s16", layout="mono")
            frame.sample_rate = self._rate_hz
            frame.pts = self._samples
            self._samples += pcm.size
            self._source.push(frame)
        return self._pull()

    def flush(self) -> Pcm:
        """Returns the rest of the result."""
        if self._samples:
            self._source.push(None)
        return self._pull()

    def _pull(self) -> Pcm:
        out = [np.zeros(0, np.int16)]
        while self._samples:
            try:
                frame = self._sink.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            assert isinstance(frame, av.AudioFrame)
            out.append(frame.to_ndarray()[0].astype(np.int16, copy=False))
        return np.concatenate(out)
