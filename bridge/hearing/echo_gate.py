"""Silences what the echo canceller leaves of the agent's echo, a block at a time, and lets the caller through."""

from __future__ import annotations

from typing import Final

PRESUMED_GAIN: Final = 0.16
"""The power with which an echo may come back before anything is known of it: -8 dB."""
NO_ECHO_BLOCKS: Final = 60
"""After so many blocks of the agent's sound, 1.2 s, without an echo there is none."""
MARGIN: Final = 4.0
"""A block this much above what is left of the echo on average is more than echo: 6 dB."""
UNSURE_MARGIN: Final = 2.0
"""The same where it is not known when the echo is due, and the loudest that may be due counts: 3 dB."""
LEAK_FALL: Final = 0.02
LEAK_RISE: Final = 1.01
"""How fast the estimate of what the filter leaves follows less, and how slowly it gives way to more: 2 dB a second. The
caller's voice is more, and must not be taken for what is left of the echo."""
FIRST_FALL_BLOCKS: Final = 4
"""With the first blocks of a path the estimate falls as a mean would, with so many blocks of no knowledge among them.
The filter learns as fast, and callers would be hushed in the seconds that the estimate takes otherwise."""
LEAST_LEAK: Final = 0.015
HELD_BLOCKS: Final = 10
"""How long after two loud blocks of the caller everything is let through: the gaps within a word."""
LOUD: Final = 1e-5
"""The least power of a loud block: -50 dBFS. What is quieter passes where no echo is due, but opens nothing."""
FADE: Final = 0.7
"""How much of an echo's power is still there a block later, in a room of a long reverberation."""
AUDIBLE: Final = 1e-7
"""The power of a sound that can be heard on a telephone: -70 dBFS."""


class EchoGate:
    """Decides for each block whether it may be the caller. Powers are of samples in ±1. No I/O."""

    def __init__(self) -> None:
        self._leak = 1.0
        """The share of the echo's power that the filter leaves."""
        self._blocks = 0
        """In how many blocks that was seen."""
        self._echo = 0.0
        """The power of the echo that is due, with its reverberation."""
        self._loud_blocks = 0
        self._held = 0

    def restart(self) -> None:
        """Learns that the filter begins to learn another path."""
        self._leak, self._blocks = 1.0, 0

    def passes_unknown(self, heard: float, loudest_sent: float, blocks: int) -> bool:
        """Tells whether a block passes while no echo has been found in `blocks` blocks of the agent's sound."""
        return blocks >= NO_ECHO_BLOCKS or self._pass(heard, PRESUMED_GAIN * loudest_sent)

    def passes(self, rest: float, echo: float, unsure: float = 0.0) -> bool:
        """Tells whether the rest of a block passes of which the filter has taken out an echo of this power.

        `unsure` is the power of an echo that may be there beside it.
        """
        self._echo = max(echo, FADE * self._echo)
        if echo > AUDIBLE:
            share = rest / echo
            self._blocks += 1
            if share < self._leak:
                fall = max(LEAK_FALL, 1 / (self._blocks + FIRST_FALL_BLOCKS))
                self._leak += fall * (share - self._leak)
            else:
                self._leak = min(self._leak * LEAK_RISE, 1.0)
            self._leak = max(self._leak, LEAST_LEAK)
        return self._pass(rest, max(MARGIN * self._leak * self._echo, UNSURE_MARGIN * unsure))

    def _pass(self, power: float, limit: float) -> bool:
        self._loud_blocks = self._loud_blocks + 1 if power > max(limit, LOUD) else 0
        self._held = HELD_BLOCKS if self._loud_blocks >= 2 else max(self._held - 1, 0)
        return self._held > 0 or power > limit
