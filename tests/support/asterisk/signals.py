"""Test signals, and measures of what came of them."""

from __future__ import annotations

import numpy as np

from engine.speech import Pcm

MILLIWATT_HZ = 1004
"""The tone by which the tests' dialplan says that it went on."""


def speech_like(seconds: float, rate_hz: int) -> Pcm:
    """Telephone-band noise in bursts of a syllable's length: its correlation with itself has one sharp peak."""
    samples = round(seconds * rate_hz)
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(samples))
    frequency_hz = np.fft.rfftfreq(samples, 1 / rate_hz)
    spectrum[(frequency_hz < 300) | (frequency_hz > 3_400)] = 0
    syllables = 0.3 + 0.7 * np.abs(np.sin(4 * np.pi * np.arange(samples) / rate_hz))
    noise = np.fft.irfft(spectrum, samples) * syllables
    pcm: Pcm = np.round(noise / np.abs(noise).max() * 12_000).astype(np.int16)
    return pcm


def correlation(said: Pcm, heard: Pcm) -> float:
    """How alike the two are where they fit best, wherever `said` lies in `heard`: 1 is the same but for level."""
    a, b = said.astype(np.float64), heard.astype(np.float64)
    size = 1 << (len(a) + len(b)).bit_length()
    lag = int(np.argmax(np.fft.irfft(np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size)), size)))
    lag -= size * (lag >= len(b))
    b, a = b[max(lag, 0) :], a[max(-lag, 0) :]
    overlap = min(len(a), len(b))
    a, b = a[:overlap], b[:overlap]
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def share_db(pcm: Pcm, rate_hz: int, low_hz: float, high_hz: float) -> float:
    """Energy between the two frequencies, in dB of the whole."""
    power = np.abs(np.fft.rfft(pcm.astype(np.float64) * np.hanning(len(pcm)))) ** 2
    frequency_hz = np.fft.rfftfreq(len(pcm), 1 / rate_hz)
    within = power[(frequency_hz >= low_hz) & (frequency_hz <= high_hz)].sum()
    return float(10 * np.log10(within / power.sum() + 1e-20))


def is_milliwatt(pcm: Pcm, rate_hz: int) -> bool:
    """True of the tone, false of speech and silence."""
    return len(pcm) > 0 and bool(pcm.any()) and share_db(pcm, rate_hz, MILLIWATT_HZ - 20, MILLIWATT_HZ + 20) > -1
