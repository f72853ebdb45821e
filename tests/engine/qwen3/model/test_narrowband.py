"""Narrowband sound is what the line's resampler makes of the same PCM, to the bit, however it is cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.audio import resample
from engine.qwen3.batch.runner import Frames, Runner
from engine.qwen3.batch.sentence import End, Sentence
from engine.qwen3.messages import Speak
from engine.qwen3.model import narrowband

SIZE = 240
"""The samples of a frame here: a small one, so that a frame's neighbours reach far into it."""


def noise(frames: int, size: int = SIZE) -> NDArray[np.int16]:
    return np.random.default_rng(frames).integers(-32768, 32768, frames * size).astype(np.int16)


def heard(
    before: torch.Tensor, slot: int, pcm: NDArray[np.int16], cuts: list[int], beyond: int = 0, size: int = SIZE
) -> NDArray[np.int16]:
    """Returns a sentence's narrowband, as a runner cuts it out; the last chunk has `beyond` frames of other sound."""
    sentence = Sentence(Speak(0, "", "", narrowband=True))
    parts, first = [], 0
    for number, frames in enumerate(cuts):
        last = number + 1 == len(cuts)
        chunk = pcm[first * size : (first + frames) * size]
        if last:
            chunk = np.concatenate((chunk, noise(beyond, size)))
        count = frames + (beyond if last else 0)
        at, begins, sound = torch.tensor([slot]), torch.tensor([first]), torch.from_numpy(chunk)[None]
        narrow = narrowband.narrow(before, at, begins, sound, count)
        rows = (part.view(count, -1).numpy()[:frames] for part in (sound, narrow, narrowband.levels(sound)))
        parts.append(Runner._cut(sentence, first, Frames._make(rows), End.SPOKEN if last else None).pcm)
        first += frames
    return np.concatenate(parts)


@pytest.mark.parametrize("size", [SIZE, 1920])
@pytest.mark.parametrize("cuts", [[1], [2], [1, 2, 4, 8], [1] * 9, [8, 3], [2, 1, 5, 1]])
def test_it_is_the_resampler_s_to_the_bit_however_the_frames_are_cut(cuts: list[int], size: int) -> None:
    pcm = noise(sum(cuts), size)
    made = heard(narrowband.allocate_before(2, "cpu"), 1, pcm, cuts, size=size)
    np.testing.assert_array_equal(made, resample(pcm, 24000, 8000))


def test_what_is_made_beyond_the_end_is_not_heard_in_it() -> None:
    pcm = noise(6)
    made = heard(narrowband.allocate_before(2, "cpu"), 0, pcm, [1, 2, 3], beyond=5)
    np.testing.assert_array_equal(made, resample(pcm, 24000, 8000))


def test_a_sentence_that_left_in_the_middle_leaves_nothing_in_its_slot() -> None:
    before = narrowband.allocate_before(2, "cpu")
    heard(before, 0, noise(3), [1, 2])
    pcm = noise(4)
    np.testing.assert_array_equal(heard(before, 0, pcm, [4]), resample(pcm, 24000, 8000))


def test_levels_are_of_ten_milliseconds_each() -> None:
    pcm = torch.zeros(1, 3 * narrowband.LEVEL_SAMPLES, dtype=torch.int16)
    pcm[:, narrowband.LEVEL_SAMPLES : 2 * narrowband.LEVEL_SAMPLES] = 32767
    assert narrowband.levels(pcm).tolist() == [[0.0, 1.0, 0.0]]
