"""The distribution that codes are drawn from is upstream's: the same logits survive, with the same probabilities."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from engine.qwen3.model.sampling import SamplingRows, choose, gumbel_noise, penalize, philox, scores, uniform

VOCABULARY = 3072
SETTINGS = [(0.9, 50, 1.0), (0.9, 0, 1.0), (1.3, 50, 0.8), (0.6, 0, 0.95), (1.0, 1, 1.0), (0.7, 20, 0.05)]


def rows(*settings: tuple[float, int, float]) -> SamplingRows:
    temperature, top_k, top_p = zip(*settings, strict=True)
    return SamplingRows(torch.tensor(temperature), torch.tensor(top_k), torch.tensor(top_p))


def logits_of(batch: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 3


def test_each_row_keeps_what_upstream_would_keep() -> None:
    """Six callers with six settings in one batch, each against transformers' own processors."""
    logits = logits_of(len(SETTINGS))
    drawn = torch.randint(0, VOCABULARY, (len(SETTINGS), 40), generator=torch.Generator().manual_seed(1))
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter(1, drawn, True)
    ours = scores(penalize(logits, seen, torch.full((len(SETTINGS),), 1.05)), rows(*SETTINGS))
    for row, (temperature, top_k, top_p) in enumerate(SETTINGS):
        steps = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(1.05), TemperatureLogitsWarper(temperature)])
        if top_k:
            steps.append(TopKLogitsWarper(top_k))
        if top_p < 1:
            steps.append(TopPLogitsWarper(top_p))
        theirs = steps(drawn[row : row + 1], logits[row : row + 1].clone())[0]
        assert torch.equal(ours[row].isinf(), theirs.isinf())
        torch.testing.assert_close(ours[row].softmax(-1), theirs.softmax(-1), atol=1e-6, rtol=1e-5)


def test_temperature_zero_takes_the_likeliest_code_for_any_seed() -> None:
    logits = logits_of(4)
    noise = gumbel_noise(torch.arange(4), torch.zeros(4, dtype=torch.int64), VOCABULARY)
    assert torch.equal(choose(logits, rows(*[(0.0, 50, 0.5)] * 4), noise), logits.argmax(-1))


def test_draws_follow_the_probabilities() -> None:
    """Chi-squared over 20,000 draws, for the ten codes that top-k leaves."""
    draws = 20_000
    logits = logits_of(1, seed=3)[:, :64].contiguous()
    chosen = []
    for start in range(0, draws, 2000):
        frames = torch.arange(start, start + 2000)
        noise = gumbel_noise(torch.full((2000,), 1234), frames, 64)
        chosen.append(choose(logits.expand(2000, -1), rows(*[(0.9, 10, 1.0)] * 2000), noise))
    counts = torch.cat(chosen).bincount(minlength=64)
    expected = scores(logits, rows((0.9, 10, 1.0)))[0].softmax(-1) * draws
    kept = expected > 0
    assert counts[~kept].sum() == 0
    chi_squared = ((counts[kept] - expected[kept]) ** 2 / expected[kept]).sum()
    assert chi_squared < 27.9, "9 degrees of freedom, p = 0.001"


def test_philox_is_the_published_one() -> None:
    """Known answers of Random123 for Philox 4x32-10."""
    zero = torch.zeros(1, dtype=torch.int64)
    assert philox(zero, zero, zero)[0].tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_noise_depends_on_seed_and_frame_and_on_nothing_else() -> None:
    seeds, frames = torch.tensor([5, 5, 6, -1]), torch.tensor([0, 1, 0, 0])
    noise = gumbel_noise(seeds, frames, 100)
    assert torch.isfinite(noise).all()
    assert len({tuple(row) for row in noise.tolist()}) == 4
    assert torch.equal(noise[1:2], gumbel_noise(seeds[1:2], frames[1:2], 100))
    # A longer frame draws the same and then more.
    assert torch.equal(noise, gumbel_noise(seeds, frames, 130)[:, :100])


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**62])
def test_noise_is_gumbel(seed: int) -> None:
    noise = gumbel_noise(torch.tensor([seed]), torch.tensor([3]), 200_000)[0].double()
    assert noise.mean() == pytest.approx(0.5772, abs=0.02)
    assert noise.var() == pytest.approx(torch.pi**2 / 6, abs=0.05)


def test_no_word_gives_infinite_noise() -> None:
    """Every word there is: the lower nine bits of each are not looked at, so 2^23 words stand for all."""
    assert uniform(torch.tensor([0, 0xFFFFFFFF])).tolist() == [2.0**-24, 1 - 2.0**-24]
    for lower in (0, 0x1FF):
        for words in torch.arange(0, 2**32, 2**9).split(2**20):
            numbers = uniform(words | lower)
            assert ((numbers > 0) & (numbers < 1)).all()
            assert (-torch.log(-torch.log(numbers))).isfinite().all()


def test_noise_of_2_to_the_26_draws_is_finite() -> None:
    """One drawn number in 2^24 was infinite, which is one frame in 500."""
    for frame in range(64):
        assert gumbel_noise(torch.tensor([7]), torch.tensor([frame]), 2**20).isfinite().all()


def test_a_forbidden_code_is_not_drawn_where_the_largest_number_falls_on_it() -> None:
    """Draw 2656 of this seed is the largest there is: it was infinite, and a control code won."""
    logits = torch.zeros(1, VOCABULARY)
    logits[:, 2048:] = float("-inf")
    noise = gumbel_noise(torch.tensor([33309]), torch.tensor([0]), VOCABULARY)
    assert noise.argmax() == 2656
    assert choose(logits, rows((0.9, 50, 1.0)), noise) < 2048
