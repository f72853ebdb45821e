"""Learns how the agent's sound comes back, and takes it out of the caller's: a Kalman filter of spectra.

The path from the agent's sound to its echo is a filter of PARTITIONS blocks, each known by its spectrum. For each block
and frequency the filter also knows how unsure it is of that spectrum. It learns fast where it is unsure and little else
is heard, and hardly at all while the caller speaks, so that double talk needs no detector of its own. See F. Kuech,
E. Mabande, G. Enzner, "State-space architecture of the partitioned-block-based acoustic echo controller", ICASSP 2014.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft

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
    """The echo path of one call, as far as it is known. Samples are floats in ±1, a block at a time. No I/O.

    So few values take numpy no longer than the call that hands them over. So the caller transforms what is to be learnt
    together with its own, and what a complex spectrum is multiplied by stands twice in a row, for the real and the
    imaginary part: numpy takes four times as long for a complex number and a real one.
    """

    def __init__(self, unlearnt: Floats) -> None:
        """`unlearnt`, of two rows of two blocks, is where `cancel` leaves what `learn` wants as spectra."""
        self._unlearnt = unlearnt
        self._samples = samples = unlearnt.shape[1] // 2
        bins = samples + 1
        self._path: Spectra = np.zeros((PARTITIONS, bins), np.complex64)
        self._doubt: Floats = np.full((PARTITIONS, 2 * bins), DOUBT, np.float32)
        self._rest: Floats = np.zeros(2 * bins, np.float32)
        """Twice the power of all that is no echo, at each frequency: noise and the caller."""
        self._both: Spectra = np.zeros((2, bins), np.complex64)
        """The spectra of the echo and of the partition whose turn it is."""
        self._turn = 0
        self._learns = False
        """True while there is something unlearnt."""

    def cancel(self, sent: Spectra, heard: Floats) -> tuple[Floats, Floats]:
        """Takes what was sent, as the spectra of two blocks each, and a block heard. Returns its rest and its echo."""
        samples, both = self._samples, self._both
        np.add.reduce((sent * self._path).view(np.float32), axis=0, out=both.view(np.float32)[0])
        both[1] = self._path[self._turn]
        sounds: Floats = irfft(both)
        echo = sounds[0, samples:]
        rest = heard - echo
        self._unlearnt[0, :samples] = 0
        self._unlearnt[0, samples:] = rest
        # What is longer than a block is no part of a partition. To shorten one a block is enough.
        self._unlearnt[1, :samples] = sounds[1, :samples]
        self._unlearnt[1, samples:] = 0
        self._learns = True
        return rest, echo

    def learn(self, sent: Spectra, power: Floats, spectra: Spectra) -> None:
        """Learns from the latest block, if it has not yet: from `unlearnt` as `spectra`, and what was sent then.

        `power` is that of each of these frequencies, twice in a row.
        """
        if not self._learns:
            return
        self._learns = False
        self._path[self._turn] = spectra[1]
        self._turn = (self._turn + 1) % PARTITIONS
        rest = spectra[0]
        loudness = powers(rest)
        self._rest *= SMOOTHING
        self._rest += 2 * (1 - SMOOTHING) * loudness
        loudness *= 2 * AT_ONCE
        np.maximum(self._rest, loudness, out=self._rest)
        learnt = self._doubt * power
        unsure = np.add.reduce(learnt, axis=0, initial=1e-6)
        unsure += self._rest
        share = rest.view(np.float32)
        share /= unsure
        steps = sent.conj()
        steps *= rest
        values = steps.view(np.float32)
        values *= self._doubt
        path = self._path.view(np.float32)
        path += values
        unsure *= -2 / KEEP
        learnt /= unsure
        learnt += KEEP
        self._doubt *= learnt
        if self._turn == 0:  # what makes room for a change is little, and comes for all blocks of a round at once
            self._doubt += PARTITIONS * (1 - KEEP) * (powers(self._path) + LEAST_DOUBT)

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


def powers(spectra: Spectra) -> Floats:
    """Returns the power at each frequency, twice in a row."""
    squares = spectra * spectra.conj()
    squares.imag = squares.real
    return squares.view(np.float32)
