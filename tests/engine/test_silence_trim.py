"""The silence around a sentence goes, the pauses in it stay; with sounds of known places."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.silence_trim import SilenceTrim

BEFORE_SAMPLES = 480
AFTER_SAMPLES = 720


def sound(*parts: tuple[int, float]) -> NDArray[np.float32]:
    """Parts of so many samples and so loud."""
    return np.concatenate([np.full(samples, level, np.float32) for samples, level in parts])


def cut(pcm: NDArray[np.float32], block: int) -> Iterator[NDArray[np.float32]]:
    return (pcm[start : start + block] for start in range(0, pcm.size, block))


@pytest.mark.parametrize("block", [100, 4800, 10**6])
def test_silence_around_goes_and_pauses_stay(block: int) -> None:
    pcm = sound((7200, 0), (4800, 0.1), (9600, 0), (2400, 0.1), (12000, 0))
    trim = SilenceTrim(-60.0, BEFORE_SAMPLES, AFTER_SAMPLES)
    kept = np.concatenate(list(trim.trimmed(cut(pcm, block))))
    np.testing.assert_array_equal(kept[BEFORE_SAMPLES:-AFTER_SAMPLES], pcm[7200 : 7200 + 4800 + 9600 + 2400])
    assert kept.size == BEFORE_SAMPLES + 4800 + 9600 + 2400 + AFTER_SAMPLES
    assert trim.cut_samples == 7200 - BEFORE_SAMPLES


def test_nothing_but_silence_is_nothing() -> None:
    trim = SilenceTrim(-60.0, BEFORE_SAMPLES, AFTER_SAMPLES)
    assert list(trim.trimmed(cut(sound((50_000, 0.0001)), 4800))) == []
