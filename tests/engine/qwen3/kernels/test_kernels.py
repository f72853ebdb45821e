"""Each kernel against float64, random shapes, into poisoned outputs; whole frames and sounds against plain PyTorch."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Any

import pytest
import torch

from tests.support.qwen3.kernel_support import CUDA, DEVICE, DTYPE, NEEDS_GPU, TOLERANCE, WHY_NOT, error

if WHY_NOT:
    pytest.skip(WHY_NOT, allow_module_level=True)

import triton
import triton.language as tl

from engine.qwen3.kernels import attention, conv, frame, linear, memory, pdl, sample
from engine.qwen3.kernels.conv import Rows
from engine.qwen3.kernels.frame import (
    WIDENED_SHARE,
    How,
    Scratch,
    _project,
    _turned,
    is_plain,
    keep_what_fits_widened,
    keep_widened,
    widened_bytes,
)
from engine.qwen3.kernels.frame import decode_frame as fast_frame
from engine.qwen3.kernels.linear import Tiling
from engine.qwen3.kernels.sample import _noise
from engine.qwen3.kernels.variants import ROWS, ROWS_LARGE, SLICES, SLICES_LONG, SLICES_SHARED, VENDOR, Variant
from engine.qwen3.model.frame import FrameModel, decode_frame
from engine.qwen3.model.layers import KvCache
from engine.qwen3.model.quantize import to_fp8, to_int8
from engine.qwen3.model.sampling import SamplingRows, choose, gumbel_noise, penalize, uniform
from engine.qwen3.model.state import DecodeState
from engine.qwen3.model.weights import Dense, PredictorWeights, TalkerWeights, rope_tables
from tests.support.qwen3.convert import convert
from tests.support.qwen3.random_weights import StackSize, _Source

EPS = 1e-6
PDL = pdl.supported()
SEEDS = range(12 if CUDA else 2)
gpu = pytest.mark.skipif(not CUDA, reason=NEEDS_GPU)


def draw(*shape: int, std: float = 1.0, dtype: torch.dtype = DTYPE) -> torch.Tensor:
    return (torch.randn(shape, device=DEVICE) * std).to(dtype)


def poisoned(*shape: int, dtype: torch.dtype = DTYPE) -> torch.Tensor:
    return torch.full(shape, float("nan"), device=DEVICE, dtype=dtype)


def normed(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    wide = x.double()
    return wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + EPS) * weight.double()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "tiling", [Tiling(0, 4, warps=1), Tiling(0, 8, warps=2), Tiling(16, 16, 64, 4, 3), Tiling(32, 8, 16, 2, 2)]
)
@pytest.mark.parametrize("around", ["", "norm", "gate", "norm gate", "add", "bias norm"])
def test_a_product_and_what_is_fused_with_it(seed: int, tiling: Tiling, around: str) -> None:
    pick = random.Random(seed)
    rows = pick.randint(1, 8) if tiling.block_m == 0 else pick.randint(1, 70)
    inputs, outputs = pick.choice((64, 192, 1024, 3072) if CUDA else (64, 192)), pick.randint(3, 90)
    x, norm = draw(rows, inputs), draw(inputs)
    weight = draw(outputs * (2 if "gate" in around else 1), inputs, std=inputs**-0.5)
    bias = draw(outputs) if "bias" in around else None
    out = draw(rows, outputs) if "add" in around else poisoned(rows, outputs)
    before = out.double()
    linear.linear(
        x, weight, out, norm=norm if "norm" in around else None, eps=EPS, bias=bias, gate="gate" in around,
        add="add" in around, pdl=PDL, tiling=tiling,
    )  # fmt: skip
    wide = (normed(x, norm) if "norm" in around else x.double()) @ weight.double().t()
    if bias is not None:
        wide = wide + bias.double()
    if "gate" in around:
        first, second = wide.chunk(2, dim=1)
        wide = torch.nn.functional.silu(first) * second
    if "add" in around:
        wide = wide + before
    assert error(out, wide) < TOLERANCE


@pytest.mark.parametrize("to", [to_int8, pytest.param(to_fp8, marks=gpu)])
@pytest.mark.parametrize("tiling", [Tiling(0, 4, warps=1), Tiling(16, 16, 64, 4, 3), Tiling(64, 32, 32, 4, 2)])
@pytest.mark.parametrize("gate", [False, True])
def test_weights_of_eight_bits(to: Any, tiling: Tiling, gate: bool) -> None:
    rows, inputs, outputs = (5 if tiling.block_m == 0 else 37), 192, 48
    x = draw(rows, inputs)
    packed = to(Dense(draw(outputs * (2 if gate else 1), inputs, std=inputs**-0.5)))
    out = poisoned(rows, outputs)
    linear.linear(x, packed.weight, out, scale=packed.scale, gate=gate, pdl=PDL, tiling=tiling)
    wide = x.double() @ (packed.weight.double() * packed.scale.double()[:, None]).t()
    if gate:
        first, second = wide.chunk(2, dim=1)
        wide = torch.nn.functional.silu(first) * second
    assert error(out, wide) < TOLERANCE


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("variant", [ROWS, SLICES, VENDOR], ids=["rows", "slices", "vendor"])
def test_the_projection_to_the_predictor_s_width(variant: Variant, biased: bool) -> None:
    x, out = draw(3, 128), poisoned(3, 64)
    matrix = Dense(draw(64, 128, std=128**-0.5), draw(64) if biased else None)
    _project(x, matrix, out, How(variant, PDL))
    wide = x.double() @ matrix.weight.double().t()
    assert error(out, wide if matrix.bias is None else wide + matrix.bias.double()) < TOLERANCE


@pytest.mark.parametrize("to", [to_int8, pytest.param(to_fp8, marks=gpu)])
def test_an_eight_bit_matrix_widened(to: Any) -> None:
    packed = to(Dense(draw(21, 700)))
    out = poisoned(21, 700)
    linear.dense(packed.weight, packed.scale, out)
    assert error(out, packed.weight.double() * packed.scale.double()[:, None]) < TOLERANCE


def test_matrices_that_are_widened_once_are_not_widened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = convert(tiny_model(64, False), to_int8)
    scratch, stack = Scratch.allocate(model, 2), model.predictor.stack
    matrices = [matrix for layer in stack.layers for matrix in (layer.qkv, layer.o, layer.gate_up, layer.down)]
    each_time = [_turned(matrix, scratch).clone() for matrix in matrices]
    keep_widened(stack, scratch)
    assert sum(kept.nbytes for kept in scratch.kept.values()) == widened_bytes(stack)
    monkeypatch.setattr(frame, "dense", None)
    for matrix, expected in zip(matrices, each_time, strict=True):
        assert torch.equal(_turned(matrix, scratch), expected)


@pytest.mark.parametrize("room", [1.0, 0.99])
def test_the_talker_is_widened_once_too_where_there_is_room(room: float) -> None:
    model = convert(tiny_model(64, False), to_int8)
    scratch = Scratch.allocate(model, 2)
    free_bytes = widened_bytes(model.talker.stack) / WIDENED_SHARE * room
    keep_what_fits_widened(model, scratch, int(free_bytes))
    kept = {id(layer.qkv) in scratch.kept for layer in model.predictor.stack.layers}
    assert kept == {True}
    kept = {id(layer.qkv) in scratch.kept for layer in model.talker.stack.layers}
    assert kept == {room == 1.0}


def turned(x: torch.Tensor, norm: torch.Tensor, position: int, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    y = normed(x, norm)
    first, second = y.chunk(2, dim=-1)
    return y * cos[position].double() + torch.cat((-second, first), -1) * sin[position].double()


def attended(
    qkv: torch.Tensor, norms: Any, position: int, keys: torch.Tensor, values: torch.Tensor, rope: Any, heads: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One row in float64. qkv [heads + 2 kv_heads, D]; keys and values [kv_heads, position, D] before it."""
    kv_heads, dim = keys.shape[0], qkv.shape[1]
    q = turned(qkv[:heads], norms[0], position, *rope)
    k = turned(qkv[heads : heads + kv_heads], norms[1], position, *rope)
    v = qkv[heads + kv_heads :].double()
    all_keys, all_values = torch.cat((keys.double(), k[:, None]), 1), torch.cat((values.double(), v[:, None]), 1)
    group = heads // kv_heads
    score = torch.einsum("hd,hjd->hj", q, all_keys.repeat_interleave(group, 0)) / math.sqrt(dim)
    return torch.einsum("hj,hjd->hd", score.softmax(-1), all_values.repeat_interleave(group, 0)), k, v


@pytest.mark.parametrize(
    ("rows", "split"), [(1, 8), (3, 4), (5, 1), (18, 1), (17, 2)] if CUDA else [(2, 2), (3, 1), (16, 2), (17, 1)]
)
def test_attention_over_what_is_filled(rows: int, split: int) -> None:
    heads, kv_heads, dim, room, slots = (16, 8, 128, 256, 20) if CUDA else (4, 2, 16, 96, 18)
    cos, sin = rope_tables(room, dim, 1e6, DEVICE)
    kv = draw(2, slots, kv_heads, room, dim)
    at = torch.randperm(slots, device=DEVICE)[:rows]
    position = torch.randint(0, room, (slots,), device=DEVICE)
    position[at[0]] = 0
    # What lies beyond a call's position is somebody else's past: it must not be read.
    for slot in range(slots):
        kv[:, slot, :, int(position[slot]) :] = float("nan")
    qkv, norms = draw(rows, (heads + 2 * kv_heads) * dim), (draw(dim), draw(dim))
    out = poisoned(rows, heads * dim)
    parts = torch.empty(rows * heads * split * (dim + 2), device=DEVICE)
    counters = torch.zeros(rows * heads, dtype=torch.int32, device=DEVICE)
    before, table = kv.clone(), KvCache(kv[None]).table
    for _ in range(2):  # the counters are ready for the next time
        kv.copy_(before)
        out.fill_(float("nan"))
        attention.attend(qkv, *norms, cos, sin, EPS, position, at, kv, table, parts, counters, out, split, PDL)
    for row, slot in enumerate(at.tolist()):
        here = int(position[slot])
        reference, k, v = attended(
            qkv[row].view(-1, dim), norms, here, before[0, slot, :, :here], before[1, slot, :, :here], (cos, sin), heads
        )
        assert error(out[row], reference.flatten()) < TOLERANCE
        assert error(kv[0, slot, :, here], k) < TOLERANCE
        assert error(kv[1, slot, :, here], v) < TOLERANCE


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("at", [2, 9, 15])
def test_attention_of_the_predictor(at: int, early: bool) -> None:
    heads, kv_heads, dim, rows = (16, 8, 128, 7) if CUDA else (4, 2, 16, 2)
    cos, sin = rope_tables(16, dim, 1e6, DEVICE)
    kv = draw(2, rows, kv_heads, 16, dim)
    kv[:, :, :, at:] = float("nan")
    qkv, norms = draw(rows, (heads + 2 * kv_heads) * dim), (draw(dim), draw(dim))
    out = poisoned(rows, heads * dim)
    attention.attend_few(qkv, *norms, cos, sin, EPS, at, kv, out, pdl=PDL, early=early)
    for row in range(rows):
        reference, *_ = attended(
            qkv[row].view(-1, dim), norms, at, kv[0, row, :, :at], kv[1, row, :, :at], (cos, sin), heads
        )
        assert error(out[row], reference.flatten()) < TOLERANCE


def test_attention_of_the_predictors_first_two_positions() -> None:
    heads, kv_heads, dim, rows = (16, 8, 128, 7) if CUDA else (4, 2, 16, 2)
    cos, sin = rope_tables(16, dim, 1e6, DEVICE)
    kv = poisoned(2, rows, kv_heads, 16, dim)
    qkv, norms = draw(2 * rows, (heads + 2 * kv_heads) * dim), (draw(dim), draw(dim))
    out = poisoned(2 * rows, heads * dim)
    attention.attend_few(qkv, *norms, cos, sin, EPS, 1, kv, out, pair=True, pdl=PDL)
    empty = torch.empty(kv_heads, 0, dim, device=DEVICE)
    for row in range(rows):
        first, k, v = attended(qkv[row].view(-1, dim), norms, 0, empty, empty, (cos, sin), heads)
        second, *_ = attended(qkv[rows + row].view(-1, dim), norms, 1, k[:, None], v[:, None], (cos, sin), heads)
        assert error(out[row], first.flatten()) < TOLERANCE
        assert error(out[rows + row], second.flatten()) < TOLERANCE


@triton.jit
def _noise_of(words, out, N: tl.constexpr):  # type: ignore[no-untyped-def]
    i = tl.arange(0, N)
    tl.store(out + i, _noise(tl.load(words + i).to(tl.uint32, bitcast=True)))


def test_noise_is_finite_for_the_smallest_word_and_the_largest() -> None:
    words = torch.tensor([0, 1, 0x1FF, 0x200, 0x7FFFFFFF, -0x80000000, -0x200, -1], dtype=torch.int32, device=DEVICE)
    out = poisoned(len(words), dtype=torch.float32)
    _noise_of[(1,)](words, out, N=len(words))
    expected = -torch.log(-torch.log(uniform(words.long() & 0xFFFFFFFF)))
    torch.testing.assert_close(out, expected, atol=0, rtol=1e-5)


def test_a_forbidden_code_is_not_drawn_where_the_largest_number_falls_on_it() -> None:
    """Draw 2656 of this seed is the largest there is: it was infinite, and a control code won."""
    vocabulary, hidden = 3072, 32
    whole = torch.zeros(1, dtype=torch.int64, device=DEVICE)
    one = torch.ones(1, device=DEVICE)
    codes = torch.full((1, 16), -1, device=DEVICE)
    seen = torch.zeros(1, vocabulary, dtype=torch.bool, device=DEVICE)
    sample.draw_first(
        torch.zeros(1, vocabulary, device=DEVICE), torch.arange(vocabulary, device=DEVICE) < 2048, whole,
        whole + 33309, whole, 0.9 * one, whole + 50, one, one, seen, codes, draw(vocabulary, hidden),
        poisoned(1, hidden), poisoned(1, hidden, dtype=torch.float32), 2150, 2, pdl=PDL,
    )  # fmt: skip
    assert 0 <= int(codes[0, 0]) < 2048


@pytest.mark.parametrize(("rows", "vocabulary"), [(9, 3072), (33, 1088)] if CUDA else [(4, 68)])
def test_drawn_codes_are_those_of_the_plain_sampler(rows: int, vocabulary: int) -> None:
    hidden = 32
    logits = draw(rows, vocabulary, std=3.0, dtype=torch.float32)
    allowed = torch.rand(vocabulary, device=DEVICE) < 0.9
    eos = int(allowed.nonzero()[3])
    at = torch.randperm(rows + 2, device=DEVICE)[:rows]

    def per_slot(*values: float) -> torch.Tensor:
        return torch.tensor(values, device=DEVICE).repeat(rows + 2)[: rows + 2]

    seed = torch.randint(0, 2**62, (rows + 2,), device=DEVICE)
    frame = torch.randint(0, 4, (rows + 2,), device=DEVICE)
    temperature, top_p, penalty = per_slot(0.9, 0.0, 1.3), per_slot(1.0, 0.8, 0.3, 1.0), per_slot(1.05, 1.0)
    top_k = per_slot(50, 0, 5, 1).long()
    seen = torch.rand(rows + 2, vocabulary, device=DEVICE) < 0.2
    codes = torch.full((rows, 16), -7, device=DEVICE)
    table = draw(vocabulary, hidden)
    x_next, total = poisoned(rows, hidden), poisoned(rows, hidden, dtype=torch.float32)
    kept = seen.clone()
    sample.draw_first(
        logits, allowed, at, seed, frame, temperature, top_k, top_p, penalty, kept, codes, table, x_next, total, eos, 2,
        pdl=PDL,
    )  # fmt: skip
    scores = penalize(logits, seen[at], penalty[at]).masked_fill(~allowed, float("-inf"))
    early = (frame[at] < 2)[:, None] & (torch.arange(vocabulary, device=DEVICE) == eos)
    noise = gumbel_noise(seed[at], frame[at], vocabulary)
    rows_of = SamplingRows(temperature[at], top_k[at], top_p[at])
    expected = choose(scores.masked_fill(early, float("-inf")), rows_of, noise)
    assert torch.equal(codes[:, 0], expected)
    assert (codes[:, 1:] == -7).all()
    assert torch.equal(x_next, table[expected])
    assert torch.equal(total, table[expected].float())
    assert torch.equal(kept[at], seen[at].scatter(1, expected[:, None], True))


def tiny_model(hidden: int, projected: bool) -> FrameModel:
    source = _Source(DEVICE, torch.float32, 1)
    talker = TalkerWeights(
        source.stack(StackSize(2, hidden, 192, 4, 2, 16), 96),
        source.normal(1088, hidden, std=1),
        source.dense(1088, hidden),
    )
    predictor = PredictorWeights(
        source.stack(StackSize(2, 64, 192, 4, 2, 16), 16),
        source.normal(15, 64, hidden, std=1),
        tuple(source.dense(64, 64) for _ in range(15)),
        source.dense(64, hidden) if projected else None,
    )
    return FrameModel.build(talker, predictor, source.normal(hidden, std=1), 70)


@gpu
@pytest.mark.parametrize(
    ("hidden", "rows", "variant"),
    [
        *((64, 1, ROWS), (128, 3, ROWS_LARGE), (64, 17, SLICES), (128, 9, VENDOR), (128, 40, SLICES_SHARED)),
        *((64, 2, VENDOR), (128, 5, SLICES_LONG)),
    ],
)
def test_frames_are_those_of_plain_pytorch(hidden: int, rows: int, variant: Variant) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    model, slots = tiny_model(hidden, hidden != 64), 48
    made = []
    for fast in (False, True):
        torch.manual_seed(1)
        state = DecodeState.allocate(model.talker, model.predictor, slots, 64, 8)
        for tensor in (state.x, state.text, state.talker_kv.kv):
            tensor.normal_()
        state.text_length.random_(0, 8)
        state.position.random_(0, 50)
        state.seed.random_(0, 2**60)
        state.temperature[2], state.top_p[1], state.sub_top_p[3] = 0, 0.5, 0.7
        state.top_k[3], state.sub_top_k[1] = 0, 5
        at = torch.randperm(slots, device=DEVICE)[:rows]
        codes = torch.full((rows, 16), -7, device=DEVICE)
        scratch = Scratch.allocate(model, rows)
        history = torch.full((slots + 1, 8, 16), -7, device=DEVICE)
        for number in range(3):
            if fast:
                fast_frame(model, state, at, codes, scratch, history, How(variant, PDL))
                assert torch.equal(history[at, number], codes)
            else:
                decode_frame(model, state, at, 64, codes)
            made.append((codes.clone(), state.x[at], state.position[at], state.seen[at]))
    for plain, ours in zip(made[:3], made[3:], strict=True):
        assert torch.equal(plain[0], ours[0])
        assert error(ours[1], plain[1].double()) < 1e-4
        assert torch.equal(plain[2], ours[2])
        assert torch.equal(plain[3], ours[3])


@gpu
@pytest.mark.parametrize("how", [to_int8, to_fp8])
@pytest.mark.parametrize(
    ("rows", "variant", "kept"),
    [(1, ROWS, False), (20, SLICES, False), (150, SLICES_SHARED, False), (20, VENDOR, False), (20, VENDOR, True)],
)
def test_frames_with_eight_bit_weights_are_those_of_plain_pytorch(
    how: Any, rows: int, variant: Variant, kept: bool
) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    model = convert(tiny_model(64, False), how)
    assert not is_plain(model)
    codes = []
    for fast in (False, True):
        torch.manual_seed(1)
        state = DecodeState.allocate(model.talker, model.predictor, rows, 64, 8)
        state.x.normal_()
        at = torch.arange(rows, device=DEVICE)
        out = torch.full((rows, 16), -7, device=DEVICE)
        if fast:
            history = torch.zeros(rows + 1, 8, 16, dtype=torch.int64, device=DEVICE)
            scratch = Scratch.allocate(model, rows)
            if kept:
                keep_widened(model.predictor.stack, scratch)
                keep_widened(model.talker.stack, scratch)
            fast_frame(model, state, at, out, scratch, history, How(variant, PDL))
        else:
            decode_frame(model, state, at, 64, out)
        codes.append(out)
    assert (codes[0] == codes[1]).float().mean() > 0.99


@pytest.mark.parametrize("taps", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("across", [False, True], ids=["", "a step's depth is no part of the channels in"])
def test_a_causal_convolution_with_snake_and_residual(
    taps: int, dilation: int, across: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, steps, inputs, outputs = 3, 10, 48 if across else 32, 48
    if across:
        monkeypatch.setattr(conv, "tiles_for", lambda *_: conv.Tiles(16, 16, 32, 4, 2))
    context = (taps - 1) * dilation
    x = draw(calls, context + steps, inputs)
    weight, bias = draw(outputs, inputs, taps, std=(inputs * taps) ** -0.5), draw(outputs)
    residual = draw(calls, steps, outputs)
    alpha, inverse_beta = draw(outputs, dtype=torch.float32).exp(), draw(outputs, dtype=torch.float32).exp()
    packed = conv.Packed(weight.permute(0, 2, 1).flatten(1).contiguous(), bias.float(), taps, dilation, inputs, outputs)
    out, acted = poisoned(calls, steps, outputs), poisoned(calls, 2 + steps, outputs)
    conv.convolve(
        packed, Rows(x, x.stride(0)), calls, steps, out=Rows(out, out.stride(0)),
        residual=Rows(residual, residual.stride(0)),
        snaked=Rows(acted[:, 2:], acted.stride(0)), alpha=alpha, inverse_beta=inverse_beta,
    )  # fmt: skip
    wide = (
        torch.nn.functional.conv1d(
            x.double().transpose(1, 2), weight.double(), bias.double(), dilation=dilation
        ).transpose(1, 2)
        + residual.double()
    )
    assert error(out, wide) < TOLERANCE
    snaked = wide + inverse_beta.double() * torch.sin(wide * alpha.double()).square()
    assert error(acted[:, 2:], snaked) < 3 * TOLERANCE
    assert acted[:, :2].isnan().all()


def test_positions_advance_but_for_the_slot_that_pads_batches() -> None:
    position = torch.tensor([5, 0, 7, 0], device=DEVICE)
    slots = torch.tensor([2, 0, 3, 3], device=DEVICE)
    for _ in range(3):
        memory.advance(position, slots, 4)
    assert position.tolist() == [17, 0, 19, 0]


@gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_sound_is_that_of_the_plain_codec_however_the_frames_are_cut(dtype: torch.dtype) -> None:
    from engine.qwen3.kernels.codec import FastCodec
    from engine.qwen3.model.codec import CodecState, decode
    from tests.support.qwen3.random_codec import CodecSize, random_codec

    size = CodecSize(codebook=64, latent=64, hidden=64, intermediate=96, heads=2, head_dim=32, layers=2, decoder=128,
                     rates=(3, 2), window=9)  # fmt: skip
    weights = random_codec(DEVICE, torch.float32, size)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    state, fast = CodecState.allocate(weights, 6), FastCodec(weights, 6, 4, dtype=dtype)
    pick, tolerance = random.Random(4), 1e-5 if dtype == torch.float32 else 1e-2
    for turn in range(30):
        if turn % 10 == 9:
            state.reset(turn % 4)
            fast.reset(turn % 4)
        slots = torch.tensor(pick.sample(range(6), pick.randint(1, 4)), device=DEVICE)
        codes = torch.randint(0, size.codes, (len(slots), pick.randint(1, 8), 16), device=DEVICE)
        fast.arena.fill_(float("nan"))
        pcm = poisoned(len(slots), codes.shape[1] * weights.samples_per_frame, dtype=torch.float32)
        fast.decode(slots, codes, pcm)
        assert error(pcm, decode(weights, state, slots, codes).double()) < tolerance


def test_the_codec_is_packed_where_its_weights_are_and_kept_where_it_is_wanted() -> None:
    """On a GPU the weights as they were loaded would take 458 MB beside what is packed of them."""
    from engine.qwen3.kernels.codec import FastCodec
    from tests.support.qwen3.random_codec import CodecSize, random_codec

    size = CodecSize(codebook=64, latent=64, hidden=64, intermediate=96, heads=2, head_dim=32, layers=2, decoder=128,
                     rates=(3, 2), window=9)  # fmt: skip
    fast = FastCodec(random_codec("cpu", torch.float32, size), 2, 2, dtype=torch.float16, device="meta")
    found: list[torch.Tensor] = []

    def walk(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, tuple | list):
            for each in value:
                walk(each)
        elif dataclasses.is_dataclass(value):
            for each in dataclasses.fields(value):
                walk(getattr(value, each.name))

    walk(tuple(vars(fast).values()))
    assert len(found) > 60
    assert {each.device.type for each in found} == {"meta"}


def test_sound_too_loud_for_float16_is_clipped() -> None:
    weight = torch.full((16, 16), 1e4, device=DEVICE, dtype=torch.float16)
    x, out = torch.ones(1, 16, 16, device=DEVICE, dtype=torch.float16), poisoned(1, 16, 16, dtype=torch.float16)
    conv.convolve(conv.Packed(weight, None, 1, 1, 16, 16), Rows(x, 256), 1, 16, out=Rows(out, 256))
    assert (out == 65504).all()
