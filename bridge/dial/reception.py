"""Keeps what came in on one call, message by message, with the time of each. It does no I/O."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.line.audiosocket import RATE_HZ, Decoder, Kind

VOICED_DBFS: Final = -50.0
"""A frame is voiced when its peak is above this. Line noise and rounding stay below; the softest syllable is above."""
VOICED_PEAK: Final = int(32768 * 10 ** (VOICED_DBFS / 20))

HEARD_AT_ONCE: Final = 50


class Reception:
    """Everything that a server sent on one call. Times are in seconds of the clock that `feed` is given."""

    def __init__(self, rate_hz: int, *, keep_audio: bool = False) -> None:
        self.rate_hz = rate_hz
        """The caller's rate, in which the server is to answer."""
        self.audio: list[tuple[int, bytes]] = []
        """Rate and samples of each frame, if `keep_audio` is set."""
        self.duration_s = 0.0
        """How much audio has been received so far."""
        self.hangup_s: float | None = None
        """When the message 00 00 00 came, with which a server hangs up."""
        self.kinds: Counter[int] = Counter()
        """How many messages came of each kind."""
        self.sizes: Counter[tuple[int, int]] = Counter()
        """How many audio messages came of each kind and number of bytes."""
        self.other_rate_s: float | None = None
        """When audio at another rate than `rate_hz` last came."""
        self.after_hangup = 0
        """How many messages came after 00 00 00."""
        self.worst_split_ms = 0.0
        """The longest time from a part of a message to its end; Asterisk drops the call at about 5 ms."""
        self._keep_audio = keep_audio
        self._decoder = Decoder()
        self._part_s: float | None = None
        self._arrivals_s = array("d")
        self._positions_s = array("d")
        self._peaks = array("H")
        self._unheard: list[bytes] = []
        self._latest_voiced_s: float | None = None

    def feed(self, data: bytes, at_s: float) -> None:
        """Takes bytes that have come in, the last of them at `at_s`."""
        for kind, payload in self._decoder.feed(data):
            if self._part_s is not None:
                self.worst_split_ms = max(self.worst_split_ms, (at_s - self._part_s) * 1000)
                self._part_s = None
            self._message(kind, payload, at_s)
        if self._decoder.mid_message and self._part_s is None:
            self._part_s = at_s

    @property
    def mid_message(self) -> bool:
        """Tells whether the bytes so far end inside a message."""
        return self._decoder.mid_message

    def __len__(self) -> int:
        return len(self._arrivals_s)

    @property
    def arrivals_s(self) -> NDArray[np.float64]:
        """Returns when each frame came in, shape (frames,)."""
        return np.array(self._arrivals_s)

    @property
    def positions_s(self) -> NDArray[np.float64]:
        """Returns where in the audio each frame begins, in seconds, shape (frames,)."""
        return np.array(self._positions_s)

    @property
    def voiced(self) -> NDArray[np.bool_]:
        """Tells which frames are voiced, shape (frames,)."""
        self._hear()
        return np.array(self._peaks) > VOICED_PEAK

    @property
    def latest_voiced_s(self) -> float | None:
        """Returns when the latest voiced frame came in, or None if there was none."""
        self._hear()
        return self._latest_voiced_s

    @property
    def upper_bounds(self) -> NDArray[np.bool_]:
        """Tells which frames have the time of the next one, because the two lay unread together, shape (frames,)."""
        bounds: NDArray[np.bool_] = np.diff(self.arrivals_s, append=np.inf) == 0
        return bounds

    def first_voiced_s(self, after_s: float) -> float | None:
        """Returns when the first voiced frame after `after_s` came in, or None if there was none."""
        voiced = self.arrivals_s[self.voiced]
        later = voiced[voiced > after_s]
        return float(later[0]) if later.size else None

    def last_voiced_s(self, from_s: float, to_s: float) -> float | None:
        """Returns when the last voiced frame between `from_s` and `to_s` came in, or None if there was none."""
        voiced = self.arrivals_s[self.voiced]
        within = voiced[(voiced >= from_s) & (voiced <= to_s)]
        return float(within[-1]) if within.size else None

    def _message(self, kind: int, payload: bytes, at_s: float) -> None:
        self.kinds[kind] += 1
        if self.hangup_s is not None:
            self.after_hangup += 1
        elif kind == Kind.HANGUP:
            self.hangup_s = at_s
        elif kind in RATE_HZ:
            self._frame(kind, payload, at_s)

    def _frame(self, kind: int, pcm: bytes, at_s: float) -> None:
        rate_hz = RATE_HZ[kind]
        self.sizes[kind, len(pcm)] += 1
        if rate_hz != self.rate_hz:
            self.other_rate_s = at_s
        self._arrivals_s.append(at_s)
        self._positions_s.append(self.duration_s)
        self.duration_s += len(pcm) / (2 * rate_hz)
        if self._keep_audio:
            self.audio.append((rate_hz, pcm))
        self._unheard.append(pcm)
        if len(self._unheard) == HEARD_AT_ONCE:
            self._hear()

    def _hear(self) -> None:
        """Finds the peaks of the frames since the last time. Many at once cost a tenth of what one by one would."""
        if not self._unheard:
            return
        frames, self._unheard = self._unheard, []
        sizes = {len(pcm) for pcm in frames}
        if len(sizes) == 1 and not sizes.pop() % 2:
            peaks = _peaks(b"".join(frames), len(frames))
        else:
            peaks = [peak for pcm in frames for peak in _peaks(pcm, 1)]
        self._peaks.extend(peaks)
        for back, peak in enumerate(reversed(peaks), 1):
            if peak > VOICED_PEAK:
                self._latest_voiced_s = self._arrivals_s[-back]
                break


def _peaks(pcm: bytes, frames: int) -> list[int]:
    """Returns the peak of each of `frames` equally long frames."""
    samples = np.frombuffer(pcm, "<i2", len(pcm) // 2).reshape(frames, -1)
    if not samples.size:
        return [0] * frames
    peaks: list[int] = np.maximum(samples.max(axis=1), -samples.min(axis=1).astype(np.int32)).tolist()
    return peaks
