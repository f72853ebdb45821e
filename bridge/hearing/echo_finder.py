"""Finds whether the agent's sound comes back from the caller's side, how long after it was sent, and how loud.

For every delay it compares the spectra of what was sent and what is heard: where the one is an echo of the other, they
keep the same phase from block to block, and chance does not.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.hearing.echo_history import EchoHistory

LAGS: Final = 27
"""How many blocks of 20 ms an echo may be late."""
BINS: Final = slice(12, 136)
"""The frequencies that are compared, in steps of 25 Hz: those that a telephone carries."""
STRIDE: Final = 2
"""Every which block heard is compared. The spectra are of two blocks each, so that no sound is left out."""
MEMORY: Final = 0.96
"""The share of its knowledge that the finder keeps from one comparison to the next: it remembers about a second."""
CHECK_BLOCKS: Final = 4
"""How often the delays are compared, and how long a delay must be the best before it is believed."""
CHANCE: Final = 1.2
"""Sounds that have nothing to do with one another agree by less than this, divided by the number of comparisons."""
LEAST_AGREEMENT: Final = 0.05
GONE_AGREEMENT: Final = 0.03
GONE_CHECKS: Final = 75
"""After so many checks in a row, 6 s of the agent's sound, that agree less than this there is no echo any more. For a
shorter time it may be the caller who is louder."""
UNLIKE: Final = 0.1
UNLIKE_COMPARISONS: Final = 5.0
"""What agrees by less after so many comparisons is no echo. In 180 trials no echo did, from -8 to -30 dB. Of 144
callers who spoke in the agent's first second, five in six did, after 0.6 s."""
LEAST_COMPARISONS: Final = 3.0
"""How many blocks of the agent's sound are compared before anything is believed."""

Spectrum = NDArray[np.complex64]


class EchoFinder:
    """Compares the two sides of one call, block by block. No I/O."""

    def __init__(self) -> None:
        bins = BINS.stop - BINS.start
        self.lag: int | None = None
        """How many blocks after it was sent the strongest echo is heard; None while there is none."""
        self.unlike = False
        """True while what is heard is too unlike all that was sent to be an echo."""
        self.blocks = 0
        """How many blocks of the agent's sound it has compared since the last echo, or since the call began."""
        self._common: Spectrum = np.zeros((LAGS, bins), np.complex64)
        self._sent_power = EchoHistory(LAGS, (bins,), np.float32)
        self._sent_blocks = EchoHistory(LAGS, (), np.float32)
        self._heard_power: NDArray[np.float32] = np.zeros(bins, np.float32)
        self._heard_sum = self._heard_squares = 0.0
        """The loudness of the blocks heard and its square, summed up: a few loud blocks among quiet ones are few."""
        self._gone_checks = 0
        self._turn = 0
        self._best = -1
        """The best delay at the last check, if it was good enough to be believed."""

    def push(self, sent: Spectrum, power: NDArray[np.float32], heard: Spectrum, *, audible: bool) -> None:
        """Takes the spectra of the latest LAGS blocks sent, the newest first, its power, and the block heard."""
        self.skip(power, audible=audible)
        self._turn = (self._turn + 1) % STRIDE
        if self._turn == 0:
            common = self._common.view(np.float32)  # numpy is slower with complex numbers that meet real ones
            common *= MEMORY
            common += (sent * heard.conj()).view(np.float32)
            self._heard_power *= MEMORY
            loudnesses = _powers(heard)
            self._heard_power += loudnesses
            loudness = float(loudnesses.sum())
            self._heard_sum = MEMORY * self._heard_sum + loudness
            self._heard_squares = MEMORY**2 * self._heard_squares + loudness**2
        if audible:
            self.blocks += 1
            if self.blocks % CHECK_BLOCKS == 0:
                self._check()

    def skip(self, power: NDArray[np.float32], *, audible: bool) -> None:
        """Takes the power of a block sent in whose time nothing was heard: its echo may be."""
        before = STRIDE - 1  # the sums for a delay hold only the blocks that were compared after this delay
        self._sent_power.push(MEMORY * self._sent_power.rows[before] + power)
        self._sent_blocks.push(MEMORY * self._sent_blocks.rows[before] + audible)

    def silence(self) -> None:
        """Learns that nothing was sent for so long that no echo of it can be heard."""
        self._sent_power.fill(self._sent_power.rows[0].copy())
        self._sent_blocks.fill(self._sent_blocks.rows[0].copy())

    def forget(self) -> None:
        """Begins anew, because it has not been told everything. How long there was no echo is not forgotten."""
        self._common.fill(0)
        self._sent_power.fill(0)
        self._sent_blocks.fill(0)
        self._heard_power.fill(0)
        self._heard_sum = self._heard_squares = 0.0
        self._best = -1
        self.unlike = False

    def give_up(self) -> None:
        """Learns that the echo it has found is none."""
        self.forget()
        self.lag, self.blocks = None, 0

    def gains(self, first: int, count: int) -> NDArray[np.float32]:
        """Returns how much of the power sent comes back after each of `count` delays, from `first` on."""
        lags = slice(first, first + count)
        sent = self._sent_power.rows[lags]
        coherent = (_powers(self._common[lags]) / (sent + 1e-9)).sum(axis=1)
        gains: NDArray[np.float32] = coherent / (sent.sum(axis=1) + 1e-9)
        return gains

    def _check(self) -> None:
        blocks = self._sent_blocks.rows
        agreement = _powers(self._common) / (self._sent_power.rows * self._heard_power + 1e-9)
        score = agreement.mean(axis=1)
        score[blocks < LEAST_COMPARISONS] = 0.0
        best = int(score.argmax())
        compared = min(float(blocks[best]), self._heard_sum**2 / (self._heard_squares + 1e-20))
        self.unlike = compared >= UNLIKE_COMPARISONS and float(score[best]) < UNLIKE
        if score[best] > LEAST_AGREEMENT + CHANCE / max(compared, 1.0):
            if abs(best - self._best) <= 1 and self._is_better(best, score):
                self.lag = best
            self._best = best
            self._gone_checks = 0
            return
        self._best = -1
        if self.lag is None or score[self.lag] >= GONE_AGREEMENT:
            self._gone_checks = 0
            return
        self._gone_checks += 1
        if self._gone_checks >= GONE_CHECKS:
            self.lag = None
            self.blocks = 0

    def _is_better(self, best: int, score: NDArray[np.float32]) -> bool:
        """Tells whether a delay is so much better than the one believed that it is worth to learn the path anew.

        One that is later by a block may be: the filter begins a block before it, and has to see all of the path.
        """
        return self.lag is None or bool(score[best] > 1.5 * score[self.lag])


def _powers(spectra: Spectrum) -> NDArray[np.float32]:
    powers: NDArray[np.float32] = (spectra * spectra.conj()).real
    return powers
