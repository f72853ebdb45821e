"""Makes sound of what hibari's network predicts: at any pitch and length, a few frames at a time.

The network gives for every frame of 12.5 ms log magnitudes of a harmonic, a noise and a free part, phases, and a pitch;
`hibari.dsp.synth` makes the sound of a whole sentence of them. Here it is made in blocks, so that the first is heard
while the last is still to come, and pitch and frames can be moved on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from hibari import dsp
from numpy.typing import NDArray

Spectrum = NDArray[np.float32]
"""One value a bin and frame, shape (601, frames)."""
Curve = NDArray[np.float32]
"""One value a frame."""

BLOCK_FRAMES: Final = 16  # made at once
UNVOICED_HZ: Final = 40.0  # no voice is as low: what hibari puts into the pitch curve where there is none lies below
OVERLAPS: Final = dsp.N_FFT // dsp.HOP
GRAIN: Final = dsp.WIN * np.float32(
    dsp.HOP / np.sum(dsp.WIN**2)
)  # the window, and what keeps overlapping ones at full level


class Vocoder:
    """One sentence of the network's outputs, to be made into sound once."""

    def __init__(
        self,
        outputs: list[NDArray[np.float32]],
        seed: int,
        *,
        stretch: float = 1.0,
        pitch: float = 1.0,
        melody: float = 1.0,
    ) -> None:
        """Makes it `stretch` times as long and `pitch` times as high, and raises the melody to the power `melody`."""
        self._harmonic, self._theta, self._noise, self._free, self._phi, f0_hz = outputs
        self._frames = _Frames(len(f0_hz), stretch)
        self._own_f0_hz = self._frames.between_voiced(f0_hz)
        self._moved = pitch != 1.0 or melody != 1.0
        self._f0_hz = _sing(self._own_f0_hz, pitch, melody) if self._moved else self._own_f0_hz
        self._rng = np.random.default_rng(seed)

    def sample_at(self, share: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the sample at which this share of the network's frames has passed."""
        delay: int = dsp.N_FFT // 2  # the window's other half is not waited for
        return share * float(self._frames.count * dsp.HOP) + delay

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yields the sound at 24 kHz in blocks of shape (samples,)."""
        pulses = np.pad(dsp.pulses(self._f0_hz, UNVOICED_HZ), dsp.N_FFT // 2, mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(pulses, dsp.N_FFT)[:: dsp.HOP][: self._frames.count]
        tail = np.zeros((OVERLAPS - 1, dsp.HOP), np.float32)
        for start in range(0, self._frames.count, BLOCK_FRAMES):
            block = slice(start, start + BLOCK_FRAMES)
            spectrum = self._spectrum(block, dsp.rfft(windows[block] * dsp.WIN_SRC, 1).T)
            grains = (dsp.irfft(spectrum.T, dsp.N_FFT, 1) * GRAIN).reshape(-1, OVERLAPS, dsp.HOP)
            sound = np.zeros((len(grains) + OVERLAPS - 1, dsp.HOP), np.float32)
            sound[: OVERLAPS - 1] = tail
            for hop in range(OVERLAPS):
                sound[hop : hop + len(grains)] += grains[:, hop]
            tail = sound[len(grains) :].copy()
            yield sound[: len(grains)].reshape(-1)

    def _spectrum(self, block: slice, pulses: NDArray[np.complex64]) -> NDArray[np.complex64]:
        frames = self._frames
        harmonic, theta = frames.between(self._harmonic, block), frames.nearest(self._theta, block)
        if self._moved:
            harmonic, theta = _envelope(harmonic, theta, self._own_f0_hz[block], self._f0_hz[block])
        spectrum = pulses * _polar(harmonic, np.float32(np.pi) * np.tanh(theta))
        random = self._rng.standard_normal((*spectrum.shape, 2), np.float32).view(np.complex64)[..., 0]
        spectrum += dsp.ex(frames.between(self._noise, block)) * random
        spectrum += _polar(frames.between(self._free, block), frames.nearest(self._phi, block))
        return spectrum


class _Frames:
    """The places of the frames of a sound `stretch` times as long among those of the original."""

    def __init__(self, frames: int, stretch: float) -> None:
        self.count = max(1, round(frames * stretch))
        position = np.clip((np.arange(self.count) + 0.5) / stretch - 0.5, 0, frames - 1)
        self._moved = stretch != 1.0
        self._low = np.minimum(position.astype(int), max(0, frames - 2))
        self._high = np.minimum(self._low + 1, frames - 1)
        self._part = (position - self._low).astype(np.float32)
        self._nearest = np.rint(position).astype(int)

    def between(self, values: NDArray[np.float32], block: slice = slice(None)) -> NDArray[np.float32]:
        """Returns values of shape (…, original frames) at a block of frames, interpolated."""
        if not self._moved:
            return values[..., block]
        part = self._part[block]
        moved: NDArray[np.float32] = values[..., self._low[block]] * (1 - part) + values[..., self._high[block]] * part
        return moved

    def nearest(self, values: NDArray[np.float32], block: slice = slice(None)) -> NDArray[np.float32]:
        """Returns the nearest values at a block of frames, for phases, which cannot be interpolated."""
        return values[..., self._nearest[block]] if self._moved else values[..., block]

    def between_voiced(self, f0_hz: Curve) -> Curve:
        """Returns a pitch curve interpolated, but without a slide between a voiced frame and an unvoiced one."""
        voiced = (f0_hz[self._low] > UNVOICED_HZ) & (f0_hz[self._high] > UNVOICED_HZ)
        return np.where(voiced, self.between(f0_hz), self.nearest(f0_hz))


def _sing(f0_hz: Curve, pitch: float, melody: float) -> Curve:
    """Returns a pitch curve with its mean times `pitch` and its ups and downs raised to the power `melody`."""
    voiced = f0_hz > UNVOICED_HZ
    if not voiced.any():
        return f0_hz
    mean = np.exp(np.mean(np.log(f0_hz[voiced])))
    moved = mean * pitch * (np.where(voiced, f0_hz, mean) / mean) ** melody
    return np.where(voiced, np.maximum(moved, UNVOICED_HZ + 1), 0).astype(np.float32)


def _envelope(harmonic: Spectrum, theta: Spectrum, own_f0_hz: Curve, f0_hz: Curve) -> tuple[Spectrum, Spectrum]:
    """Returns magnitudes and phases as they would be at another pitch.

    The network was trained where its own harmonics lie and left to itself between and below them. So what a harmonic
    of another pitch needs is drawn from those on either side of its place: for each bin around it from the bins that
    lie as far from them, because what the network gives around a harmonic belongs together.
    """
    bins = harmonic.shape[0]
    bin_ = np.arange(bins, dtype=np.float32)[:, None]
    own_spacing, spacing = (
        np.where(f0_hz > UNVOICED_HZ, hz * dsp.N_FFT / dsp.SR, 1.0).astype(np.float32) for hz in (own_f0_hz, f0_hz)
    )  # of harmonics, in bins
    place = np.maximum(np.rint(bin_ / spacing), 1.0) * spacing
    beside = np.clip(bin_ - place, -own_spacing / 2, own_spacing / 2)
    number = place / own_spacing
    low = np.clip(np.floor(number), 1.0, np.floor((bins - 1) / own_spacing) - 1)
    part = np.clip(number - low, 0.0, 1.0)
    below, above = (
        np.clip(np.rint(low_or_next * own_spacing + beside), 0, bins - 1).astype(np.intp)
        for low_or_next in (low, low + 1)
    )
    nearest = np.where(part < 0.5, below, above)
    magnitude = np.take_along_axis(harmonic, below, 0) * (1 - part) + np.take_along_axis(harmonic, above, 0) * part
    return magnitude, np.take_along_axis(theta, nearest, 0)


def _polar(log_magnitude: Spectrum, phase: Spectrum) -> NDArray[np.complex64]:
    magnitude = dsp.ex(log_magnitude)
    number = np.empty(phase.shape, np.complex64)
    np.multiply(np.cos(phase), magnitude, out=number.real)
    np.multiply(np.sin(phase), magnitude, out=number.imag)
    return number
