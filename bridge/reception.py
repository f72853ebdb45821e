"""What came in on one call, frame by frame, with the time of each."""

from __future__ import annotations

from array import array
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.audio import resample
from engine.speech import Pcm

VOICED_DBFS: Final = -50.0
"""A frame is voiced when its peak is above this: no line noise or rounding is, and the softest syllable is."""
VOICED_PEAK: Final = int(32768 * 10 ** (VOICED_DBFS / 20))

PHONE_BUFFER_S: Final = 0.060
"""What a telephone's jitter buffer commonly rides out. In a recording, frames later than this leave a hole."""


class Reception:
    """The frames of one call as they came in. Times are seconds of `time.monotonic()`."""

    def __init__(self, *, keep_audio: bool = False) -> None:
        self.duration_s = 0.0
        """Audio received so far."""
        self._arrivals_s = array("d")
        self._positions_s = array("d")
        self._peaks = array("H")
        self._keep_audio = keep_audio
        self._audio: list[tuple[int, bytes]] = []

    def add(self, at_s: float, rate_hz: int, pcm: bytes) -> bool:
        """A frame of 16-bit little-endian mono has come in. True when it is voiced."""
        loudest = _peak(pcm)
        self._arrivals_s.append(at_s)
        self._positions_s.append(self.duration_s)
        self._peaks.append(loudest)
        self.duration_s += len(pcm) / (2 * rate_hz)
        if self._keep_audio:
            self._audio.append((rate_hz, pcm))
        return loudest > VOICED_PEAK

    def __len__(self) -> int:
        return len(self._arrivals_s)

    @property
    def arrivals_s(self) -> NDArray[np.float64]:
        """When each frame came in, shape (frames,)."""
        return np.array(self._arrivals_s)

    @property
    def positions_s(self) -> NDArray[np.float64]:
        """Where in the audio each frame begins: the grid it should come in on, shape (frames,)."""
        return np.array(self._positions_s)

    @property
    def voiced(self) -> NDArray[np.bool_]:
        """Which frames hold sound, shape (frames,)."""
        return np.array(self._peaks) > VOICED_PEAK

    def first_voiced_s(self, after_s: float = 0.0) -> float | None:
        """When the first voiced frame after `after_s` came in; None if there was none."""
        voiced = self.arrivals_s[self.voiced]
        later = voiced[voiced > after_s]
        return float(later[0]) if later.size else None

    def last_voiced_s(self, from_s: float, to_s: float) -> float | None:
        """When the last voiced frame of that time came in; None if there was none."""
        voiced = self.arrivals_s[self.voiced]
        within = voiced[(voiced >= from_s) & (voiced <= to_s)]
        return float(within[-1]) if within.size else None

    def heard(self, rate_hz: int, start_s: float) -> Pcm:
        """What a telephone would have played from `start_s` on, int16 at `rate_hz`, shape (samples,).

        Frames play one after the other. A frame that is later than the phone's buffer plays when it comes, with
        silence before it. Only what was kept (`keep_audio`) can be heard.
        """
        pieces: list[Pcm] = []
        played_until_s = start_s
        run: list[bytes] = []
        run_rate_hz = rate_hz

        def close_run() -> None:
            if run:
                pieces.append(resample(np.frombuffer(b"".join(run), "<i2").astype(np.int16), run_rate_hz, rate_hz))
                run.clear()

        for at_s, (frame_rate_hz, pcm) in zip(self._arrivals_s, self._audio, strict=False):
            if not pieces and not run:
                played_until_s = max(at_s, start_s)
                pieces.append(np.zeros(round((played_until_s - start_s) * rate_hz), np.int16))
            elif at_s > played_until_s + PHONE_BUFFER_S:
                close_run()
                pieces.append(np.zeros(round((at_s - played_until_s) * rate_hz), np.int16))
                played_until_s = at_s
            if frame_rate_hz != run_rate_hz:
                close_run()
                run_rate_hz = frame_rate_hz
            run.append(pcm)
            played_until_s += len(pcm) / (2 * frame_rate_hz)
        close_run()
        return np.concatenate(pieces) if pieces else np.empty(0, np.int16)


def _peak(pcm: bytes) -> int:
    samples = np.frombuffer(pcm, "<i2", len(pcm) // 2)
    if not samples.size:
        return 0
    return max(int(np.maximum.reduce(samples)), -int(np.minimum.reduce(samples)))
