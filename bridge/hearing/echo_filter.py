"""Learns how the agent's sound comes back, and takes it out of the caller's: a Kalman filter of spectra.

The path from the agent's sound to its echo is a filter of PARTITIONS blocks, each known by its spectrum. For each block
and frequency the filter also knows how unsure it is of that spectrum. It learns fast where it is unsure and little else
is heard, and hardly at all while the caller speaks, so that double talk needs no detector of its own. See F. Kuech,
E. Mabande, G. Enzner, "State-space architecture of the partitioned-block-based acoustic echo controller", ICASSP 2014.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

PARTITIONS: Final = 6
"""The length of an echo in blocks of 20 ms: a small room is quiet again after 120 ms."""
KEEP: Final = 0.9995**2
"""The share of its knowledge that the filter keeps from block to block. The rest makes room for a path that changes."""
DOUBT: Final = 0.1
"""How unsure the filter is of a path of which it has heard nothing: the power of an echo at -10 dB."""
LEAST_DOUBT: Final = 1e-3
"""How unsure it remains of a path of which it has heard no echo, before the share that KEEP leaves."""
SMOOTHING: Final = 0.9
"""How much the estimate of all that is no echo keeps from block to block."""

AT_ONCE: Final = 0.5
"""How much of a sound counts at once, so that the caller's first sound does not spoil what is known."""

Floats = NDArray[np.float32]
Spectra = NDArray[np.complex64]


class EchoFilter:
    """The echo path of one call, as far as it is known. Samples are floats in ±1, a block at a time. No I/O."""

    def __init__(self, block_samples: int) -> None:
        self._samples = block_samples
        bins = block_samples + 1
        self._path: Spectra = np.zeros((PARTITIONS, bins), np.complex64)
        self._doubt: Floats = np.full((PARTITIONS, bins), DOUBT, np.float32)
        self._rest: Floats = np.zeros(bins, np.float32)
        """The power of all that is no echo, at each frequency: noise and the caller."""
        self._padded: Floats = np.zeros(2 * block_samples, np.float32)
        self._turn = 0

    def cancel(self, sent: Spectra, power: Floats, heard: Floats) -> tuple[Floats, Floats]:
        """Takes what was sent, as the spectra of two blocks each, with their power, and a block heard.

        Returns the block's rest and its echo.
        """
        samples = self._samples
        echo: Floats = irfft((sent * self._path).sum(axis=0), overwrite_x=True)[samples:]
        rest = heard - echo
        self._padded[samples:] = rest
        self._learn(sent, power, rfft(self._padded))
        return rest, echo

    def move(self, blocks: int) -> None:
        """Moves the path, because the delay before it has become so much shorter; later for a negative number."""
        kept = max(PARTITIONS - abs(blocks), 0)
        path = np.zeros_like(self._path)
        doubt = np.full_like(self._doubt, DOUBT)
        old, new = (slice(0, kept), slice(PARTITIONS - kept, None)) if blocks > 0 else (
            slice(PARTITIONS - kept, None), slice(0, kept),
        )  # fmt: skip
        path[new], doubt[new] = self._path[old], self._doubt[old]
        self._path, self._doubt = path, doubt

    def _learn(self, sent: Spectra, power: Floats, rest: NDArray[Any]) -> None:
        loudness = rest.real**2 + rest.imag**2
        self._rest *= SMOOTHING
        self._rest += (1 - SMOOTHING) * loudness
        np.maximum(self._rest, AT_ONCE * loudness, out=self._rest)
        trust = self._doubt / ((self._doubt * power).sum(axis=0) + 2 * self._rest + 1e-6)
        steps = sent.conj()
        steps *= trust
        steps *= rest
        self._path += steps
        self._shorten(self._turn)
        self._turn = (self._turn + 1) % PARTITIONS
        path = self._path
        trust *= power  # what has been learnt of each spectrum
        trust *= -0.5 * KEEP
        trust += KEEP
        self._doubt *= trust
        left = path.real**2 + path.imag**2
        left += LEAST_DOUBT
        left *= 1 - KEEP
        self._doubt += left

    def _shorten(self, partition: int) -> None:
        """Takes out of a spectrum what is longer than a block. One a block is enough; six cost as much as the rest."""
        samples = irfft(self._path[partition])
        samples[self._samples :] = 0
        self._path[partition] = rfft(samples, overwrite_x=True)
