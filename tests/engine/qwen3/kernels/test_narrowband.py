"""The narrowband kernels do what `model.narrowband` does, to the bit."""

from __future__ import annotations

import pytest
import torch

from tests.support.qwen3.kernel_support import DEVICE, WHY_NOT

if WHY_NOT:
    pytest.skip(WHY_NOT, allow_module_level=True)

from engine.qwen3.kernels import narrowband as kernels
from engine.qwen3.model import narrowband as plain


@pytest.mark.parametrize(
    ("first", "frames", "size"), [((0, 0), 2, 240), ((2, 0), 1, 240), ((5, 1), 3, 240), ((0, 7), 1, 1920)]
)
def test_frames_are_the_plain_ones_to_the_bit(first: tuple[int, int], frames: int, size: int) -> None:
    """Of calls that begin and of calls that go on, side by side, each in a slot that has had another."""
    torch.manual_seed(0)
    before = plain.allocate_before(3, DEVICE)
    before.random_(-32768, 32768)
    expected_before = before.clone()
    slots, begins = torch.tensor([1, 3], device=DEVICE), torch.tensor(first, device=DEVICE)
    pcm = torch.randint(-32768, 32768, (2, frames * size), dtype=torch.int16, device=DEVICE)
    pcm[1] = 32767  # too loud for what the filter makes of it
    expected = plain.narrow(expected_before, slots, begins, pcm, frames)
    narrow = torch.full_like(expected, 123)
    levels = torch.full((2, frames * size // plain.LEVEL_SAMPLES), -1.0, device=DEVICE)
    kernels.narrow(before, slots, begins, pcm, kernels.taps_on(DEVICE), narrow)
    kernels.level(before, slots, pcm, levels)
    assert torch.equal(narrow, expected)
    assert torch.equal(before, expected_before)
    assert torch.allclose(levels, plain.levels(pcm))
