"""What of a second reading of a sentence follows on what was heard of the first one; no I/O."""

from __future__ import annotations

import numpy as np

from engine.replicas.seam import enough, seam
from engine.speech import Pcm

_NOTHING = np.zeros(0, np.int16)


class Rest:
    """Leaves out of a second reading what was heard, so that no word is lost and none is said twice.

    An engine that always reads a sentence in the same way, or is given a seed, repeats itself sample by sample. Else
    the seam is looked for in the sound, once there is enough of it.
    """

    def __init__(self, heard: Pcm, rate_hz: int) -> None:
        self._heard = heard
        self._rate_hz = rate_hz
        self._made: list[Pcm] = []
        self._samples = 0
        self._repeats = True
        """Whether the second reading is the same as the first one, so far."""
        self._joined = False

    @property
    def due(self) -> bool:
        """Whether the seam is to be looked for now."""
        return not (self._joined or self._repeats) and enough(self._heard.size, self._samples, self._rate_hz)

    def add(self, pcm: Pcm) -> Pcm:
        """Takes the next piece of the second reading. Returns what of it was not heard, as far as that is known."""
        if self._joined:
            return pcm
        self._made.append(pcm)
        begin, self._samples = self._samples, self._samples + pcm.size
        known = self._heard[begin : self._samples]
        self._repeats = self._repeats and np.array_equal(known, pcm[: known.size])
        if not self._repeats or self._samples <= self._heard.size:
            return _NOTHING
        self._joined = True
        return pcm[known.size :]

    def join(self) -> Pcm:
        """Looks for the seam in what there is, which takes some milliseconds. Returns what follows on it."""
        if self._joined or self._repeats:  # in the latter case it ended no later than what was heard
            return _NOTHING
        self._joined = True
        anew = np.concatenate(self._made)
        self._made.clear()
        return anew[seam(self._heard, anew, self._rate_hz) :]
