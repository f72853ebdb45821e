"""Takes the agent's echo out of the caller's sound.

A telephone on its loudspeaker sends the agent's own voice back. `EchoFinder` finds how late, `EchoFilter` learns the
way from there and subtracts it, and `EchoGate` hushes what is left. While the agent has not been audible for a while,
and in a call without an echo, the caller's samples pass unchanged. Everything is done at the caller's own rate, in
blocks of 20 ms, so that a wideband caller keeps all of the band, and no converter adds its delay.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

from bridge.hearing.echo_doubt import EchoDoubt
from bridge.hearing.echo_filter import PARTITIONS, EchoFilter, powers
from bridge.hearing.echo_finder import BINS, LAGS, EchoFinder
from bridge.hearing.echo_gate import AUDIBLE, LOUD, NO_ECHO_BLOCKS, EchoGate
from bridge.hearing.echo_history import EchoHistory
from bridge.hearing.echo_reference import EchoReference
from engine.audio import RateConverter
from engine.speech import Pcm

BLOCK_MS: Final = 20
TAIL_BLOCKS: Final = LAGS + PARTITIONS
"""How long after the agent's last sound there may still be an echo of it."""
BEFORE: Final = 1
"""How many blocks of the path lie before the strongest echo."""
SOUGHT_BLOCKS: Final = 150
"""After so many blocks of the agent's sound, 3 s, without an echo it is looked for at times only: the search costs more
than all else that is done for a call. An echo was found within 1.3 s in every trial."""
PAUSE_BLOCKS: Final = 400
"""For how many blocks of the agent's sound it is then not looked for."""
LOOK_BLOCKS: Final = 100
"""For how many it is looked for again, because a caller may switch to the loudspeaker at any time."""
WORSE: Final = 2.0
"""A filter that makes a block this much louder does not know the path."""
WORSE_BLOCKS: Final = 2.5
WORSE_KEPT: Final = 0.95
"""The filter begins anew after so many of these within half a second."""
GAINS_BLOCKS: Final = 4
"""How often it is worked out how loud an echo is due: what the finder knows of it changes over a second."""
HUSHED: Final = np.float32(0.1)
"""What becomes of a block that may be an echo: -20 dB. The detector hears a caller sooner than after nothing."""
MOST_KEPT_BLOCKS: Final = 90
"""How much of what may be an echo or the caller is kept back until that is known, 1.8 s: the detector takes no more at
once."""
LEAST_KEPT_BLOCKS: Final = 10
"""So much of it is compared, at least, before it is taken for the caller: a line's noise is unlike the agent too."""
SILENT_BLOCKS: Final = 3
"""Nothing is kept back for longer once the agent has been silent for so many blocks."""
JUDGED_BLOCKS: Final = 10
"""How long the detector may take for what was kept back."""
FULL_SCALE: Final = np.float32(32768)

Floats = NDArray[np.float32]


class EchoCanceller:
    """The canceller of one call, at the caller's rate. No I/O."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._samples = rate_hz * BLOCK_MS // 1000
        self._converter = RateConverter(rate_hz)
        self._sent_rest: Pcm = np.empty(0, np.int16)
        self._heard_rest: Pcm = np.empty(0, np.int16)
        self._unmatched: deque[Pcm] = deque()
        """Blocks heard of which it is not known yet what was sent in their time."""
        self._silent_frame = bytes(2 * self._samples)
        self._silence: Floats = np.zeros(self._samples, np.float32)
        self._reference = EchoReference(self._silence)
        self._quiet_blocks = TAIL_BLOCKS
        """How long ago the agent was last audible."""
        self._finder = EchoFinder()
        self._sought = 0
        """The place in the cycle of PAUSE_BLOCKS and LOOK_BLOCKS, for a call without an echo."""
        self._sounds: Floats = np.zeros((4, 2 * self._samples), np.float32)
        """What is transformed in each block: the latest two blocks sent, the latest two heard, and the filter's two."""
        self._filter = EchoFilter(self._sounds[2:])
        self._gate = EchoGate()
        self._kept: deque[Pcm] = deque()
        """Blocks that are kept back: they may be an echo, and nobody knows yet whether there is one."""
        self._is_caller = False
        """True once what was kept back has turned out to be the caller's, until an echo is found."""
        self._judged = 0
        """For how many blocks more the detector may look at those that were kept back."""
        self._worse = 0.0
        """How many blocks the filter has lately made louder."""
        self._doubt = EchoDoubt()
        self._lag: int | None = None
        """How many blocks after it was sent the filter's first block of the echo is heard."""
        self._gains: Floats = np.zeros(0, np.float32)
        """How much of the power sent comes back after each delay from `_lag` on."""
        self._gain = 0.0
        """How much does after all of them."""
        self._gains_turn = 0
        self._spectra = EchoHistory(TAIL_BLOCKS, (self._samples + 1,), np.complex64)
        self._strengths = EchoHistory(TAIL_BLOCKS, (2 * (self._samples + 1),), np.float32)
        """The power of each of these spectra, twice in a row."""
        self._powers = EchoHistory(TAIL_BLOCKS, (), np.float32)

    @property
    def echo_due(self) -> bool:
        """True while an echo of what was sent may still be looked at: it comes late, or was kept back."""
        return self._judged > 0 or (self._lag is not None and self._quiet_blocks <= self._lag + PARTITIONS)

    @property
    def may_echo(self) -> bool:
        """False once so much of the agent's sound has not come back that there is no echo."""
        return self._lag is not None or self._finder.blocks < NO_ECHO_BLOCKS

    def sent(self, pcm: bytes, rate_hz: int, now_s: float) -> None:
        """Takes a frame that has left for the caller at `now_s`: 16-bit little-endian mono."""
        self._reference.tick(now_s)
        if rate_hz == self.rate_hz and pcm == self._silent_frame and not len(self._sent_rest):
            self._reference.push(self._silence)  # most of the time
            return
        samples = self._converter.push(pcm, rate_hz)
        if len(self._sent_rest):
            samples = np.concatenate((self._sent_rest, samples))
        whole = len(samples) // self._samples * self._samples
        self._sent_rest = samples[whole:]
        for start in range(0, whole, self._samples):
            block = samples[start : start + self._samples]
            self._reference.push(block.astype(np.float32) / FULL_SCALE if block.any() else self._silence)

    def push(self, pcm: bytes) -> bytes:
        """Takes the caller's sound in pieces of any length and returns it without echo, in whole blocks of 20 ms."""
        samples = np.frombuffer(pcm, np.int16)
        if len(self._heard_rest):
            samples = np.concatenate((self._heard_rest, samples))
        whole = len(samples) // self._samples * self._samples
        self._heard_rest = samples[whole:]
        for block in samples[:whole].reshape(-1, self._samples):
            self._reference.hear()
            self._unmatched.append(block)
        cleaned: list[Pcm] = []
        while self._unmatched and not (self._reference.waits and self.may_echo):
            skipped, sent = self._reference.match()
            for missed in skipped[-TAIL_BLOCKS:]:
                self._skip(missed)
            heard = self._unmatched.popleft()
            cleaned += self._pass_on(heard, self._clean(heard, sent))
        return b"".join(piece.tobytes() for piece in cleaned)

    def _pass_on(self, heard: Pcm, clean: Pcm | None) -> list[Pcm]:
        """Returns the blocks that can be passed on, now that a block has become this; None where that is in doubt.

        Before it is known whether there is an echo, the caller is kept back where they are no louder than one would
        be. If what they say turns out to be none, it is passed on as it was: else a caller who speaks a few words into
        the first second of a greeting would never be heard.
        """
        self._judged = max(self._judged - 1, 0)
        if clean is None:
            self._judged = JUDGED_BLOCKS
            self._kept.append(heard)
            return [_hushed(self._kept.popleft())] if len(self._kept) > MOST_KEPT_BLOCKS else []
        kept = [block if self._is_caller else _hushed(block) for block in self._kept]
        self._kept.clear()
        return [*kept, clean]

    def _skip(self, sent: Floats) -> None:
        """Takes a block in whose time nothing was heard. Its echo may be heard all the same, for that comes later."""
        power = self._power_sent(sent)
        if not self._rests(power):
            strength = self._transform(sent, self._silence, power)[1]
            self._finder.skip(strength[::2][BINS], audible=power > AUDIBLE)

    def _clean(self, heard: Pcm, sent: Floats) -> Pcm | None:
        """Returns a block heard without the echo of what was sent; None while nobody knows whether it is one."""
        power = self._power_sent(sent)
        if self._rests(power):
            return heard
        samples = heard.astype(np.float32) / FULL_SCALE
        spectrum, strength = self._transform(sent, samples, power)
        sent_spectra = self._spectra.rows
        self._finder.push(sent_spectra[:LAGS, BINS], strength[::2][BINS], spectrum[BINS], audible=power > AUDIBLE)
        self._follow(self._finder.lag)
        if self._lag is None:
            loudest = float(self._powers.rows.max())
            loudness = _power(samples)
            self._is_caller |= self._finder.unlike and len(self._kept) >= LEAST_KEPT_BLOCKS
            if self._gate.passes_unknown(loudness, loudest, self._finder.blocks) or self._is_caller:
                return heard
            kept_back = self._quiet_blocks < SILENT_BLOCKS and (self._kept or loudness > LOUD)
            return None if kept_back else _to_pcm(samples * HUSHED)
        rest, echo = self._filter.cancel(sent_spectra[self._lag : self._lag + PARTITIONS], samples)
        rest_power, heard_power = _power(rest), _power(samples)
        if rest_power > max(WORSE * heard_power, LOUD):
            self._gate.restart()  # what the filter takes out is not there: the path has changed
            self._worse += 1
            if self._worse >= WORSE_BLOCKS:
                self._filter, self._worse = EchoFilter(self._sounds[2:]), 0.0
        self._worse *= WORSE_KEPT
        echo_power = _power(echo)
        expected = max(echo_power, self._expected_power(self._lag))
        self._doubt.look(rest_power, heard_power, echo_power, self._gain)
        if self._doubt.is_missing(heard_power, expected):
            self._finder.give_up()
            self._forget_sent()
        unsure = self._doubt.power(self._powers.rows, audible=power > AUDIBLE)
        if rest_power > heard_power:
            rest, rest_power = samples, heard_power
        if not self._gate.passes(rest_power, expected, unsure):
            rest = rest * HUSHED
        return _to_pcm(rest)

    def _power_sent(self, sent: Floats) -> float:
        """Returns the power of the next block sent, and notes for how long the agent has been silent."""
        power = _power(sent) if sent is not self._silence else 0.0
        self._quiet_blocks = 0 if power > AUDIBLE else self._quiet_blocks + 1
        return power

    def _rests(self, power: float) -> bool:
        """Tells whether there is no echo to take out where a block of this power was sent."""
        if self._quiet_blocks > TAIL_BLOCKS or self._may_rest(audible=power > AUDIBLE):
            return True
        if self._quiet_blocks < TAIL_BLOCKS:
            return False
        self._doubt.begin(self._gain)
        self._finder.silence()
        self._forget_sent()
        self._powers.fill(0)
        return True

    def _forget_sent(self) -> None:
        """Has the search for an echo begin with the next block sent."""
        self._spectra.fill(0)
        self._strengths.fill(0)

    def _transform(self, sent: Floats, heard: Floats, power: float) -> tuple[NDArray[np.complex64], Floats]:
        """Takes the next two blocks. Returns the spectrum of what was heard and the power of that of what was sent."""
        both = self._sounds[:2]
        both[:, : self._samples] = both[:, self._samples :]
        both[:, self._samples :] = sent, heard
        if self._lag is None:
            spectra = rfft(both)
        else:
            spectra = rfft(self._sounds)
            path = slice(self._lag, self._lag + PARTITIONS)
            self._filter.learn(self._spectra.rows[path], self._strengths.rows[path], spectra[2:])
        strength = powers(spectra[0])
        self._spectra.push(spectra[0])
        self._strengths.push(strength)
        self._powers.push(power)
        return spectra[1], strength

    def _expected_power(self, lag: int) -> float:
        """Returns how loud the echo should be in this block, by what the finder has learnt."""
        if self._gains_turn == 0:
            self._gains = self._finder.gains(lag, min(PARTITIONS, LAGS - lag))
            self._gain = float(self._gains.sum())
        self._gains_turn = (self._gains_turn + 1) % GAINS_BLOCKS
        return float(self._gains @ self._powers.rows[lag : lag + len(self._gains)])

    def _may_rest(self, *, audible: bool) -> bool:
        """Tells whether an echo need not be looked for in this block: the agent has spoken for long without one."""
        if self._lag is not None or self._finder.blocks < SOUGHT_BLOCKS:
            return False
        if audible:
            self._sought = (self._sought + 1) % (PAUSE_BLOCKS + LOOK_BLOCKS)
            if self._sought == PAUSE_BLOCKS:
                self._finder.forget()
                self._forget_sent()
                self._powers.fill(0)
        return self._sought < PAUSE_BLOCKS

    def _follow(self, lag: int | None) -> None:
        """Has the filter work around the delay that the finder has found."""
        first = None if lag is None else max(lag - BEFORE, 0)
        if first == self._lag:
            return
        if first is not None and self._lag is not None:
            self._filter.move(self._lag - first)
        elif first is not None:
            self._filter = EchoFilter(self._sounds[2:])
            self._doubt.restart()
        self._gate.restart()
        self._is_caller = False
        self._lag, self._gains_turn = first, 0


def _hushed(block: Pcm) -> Pcm:
    return _to_pcm(block.astype(np.float32) / FULL_SCALE * HUSHED)


def _to_pcm(samples: Floats) -> Pcm:
    values = samples * FULL_SCALE
    np.rint(values, out=values)
    np.maximum(values, -32768, out=values)
    np.minimum(values, 32767, out=values)
    return values.astype(np.int16)


def _power(samples: Floats) -> float:
    return float(np.dot(samples, samples)) / len(samples)
