"""`decode_frame` of `model.frame` in hand-written kernels: the same arguments, the same codes for the same seeds.

About 560 launches for batch 1, in place of a few thousand; none allocates and none waits for the host, so a CUDA graph
takes them as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from engine.qwen3.kernels import sample
from engine.qwen3.kernels.attention import DOT_ROWS, attend, attend_few
from engine.qwen3.kernels.linear import dense, linear, rms_norm, silu_mul
from engine.qwen3.kernels.variants import Variant
from engine.qwen3.model.frame import MIN_FRAMES, FrameModel
from engine.qwen3.model.layers import KvCache
from engine.qwen3.model.state import CODE_GROUPS, DecodeState
from engine.qwen3.model.weights import Linear, StackWeights

WIDENED_SHARE: Final = 1 / 16
"""The share of the free memory that the talker's 8-bit matrices may take in 16 bits beside those in 8."""


def split_for(rows: int) -> int:
    """Returns how many programs share one row's positions: enough to occupy the GPU, few enough to be worth joining."""
    return 8 if rows <= 2 else 4 if rows < DOT_ROWS else 1


@dataclass(frozen=True, slots=True)
class Scratch:
    """What the kernels of one frame hand to each other; a smaller batch uses the first rows of a larger one."""

    x: Tensor  # [B, talker's hidden], the residual stream
    wide: Tensor  # [2B, talker's hidden], the predictor's inputs before its projection
    narrow: Tensor  # [2B, predictor's hidden], its residual stream
    normed: Tensor  # [2B, the larger hidden]
    qkv: Tensor  # [2B, ...]
    attended: Tensor
    gate_up: Tensor
    inner: Tensor
    logits: Tensor  # [B, vocabulary] float32
    total: Tensor  # [B, talker's hidden] float32: the sum of a frame's code embeddings
    parts: Tensor
    counters: Tensor
    widened: Tensor  # the largest matrix, where matrices have 8 bits
    kept: dict[int, Tensor] = field(default_factory=dict)  # by the `id` of a matrix of 8 bits: what it is widened

    @staticmethod
    def allocate(model: FrameModel, rows: int) -> Scratch:
        talker, predictor = model.talker.stack, model.predictor.stack
        device, dtype = talker.norm.device, talker.norm.dtype

        def room(*shape: int, of: torch.dtype = dtype) -> Tensor:
            return torch.empty(shape, dtype=of, device=device)

        heads = (talker.heads + 2 * talker.kv_heads) * talker.head_dim
        sub_heads = (predictor.heads + 2 * predictor.kv_heads) * predictor.head_dim
        inner, sub_inner = _inner(talker), _inner(predictor)
        inner_size = max(rows * inner, 2 * rows * sub_inner)
        return Scratch(
            x=room(rows, talker.hidden),
            wide=room(2 * rows, talker.hidden),
            narrow=room(2 * rows, predictor.hidden),
            normed=room(max(rows * talker.hidden, 2 * rows * predictor.hidden)),
            qkv=room(rows * max(heads, 2 * sub_heads)),
            attended=room(max(rows * talker.heads * talker.head_dim, 2 * rows * predictor.heads * predictor.head_dim)),
            gate_up=room(2 * inner_size),
            inner=room(inner_size),
            logits=room(rows * model.talker.embedding.shape[0], of=torch.float32),
            total=room(rows, talker.hidden, of=torch.float32),
            parts=room(
                max(r * split_for(r) for r in range(1, min(rows, DOT_ROWS) + 1)) * talker.heads * (talker.head_dim + 2),
                of=torch.float32,
            ),
            counters=torch.zeros(min(rows, DOT_ROWS) * talker.heads, dtype=torch.int32, device=device),
            widened=room(0 if is_plain(model) else _largest(talker, predictor)),
        )


@dataclass(frozen=True, slots=True)
class How:
    """How a frame is made, whatever its batch holds."""

    variant: Variant
    pdl: bool

    @property
    def vendor(self) -> bool:
        return self.variant.kind == "vendor"


def _largest(*stacks: StackWeights) -> int:
    layers = [stack.layers[0] for stack in stacks]
    matrices: list[Any] = [m for y in layers for m in (y.qkv, y.o, y.gate_up, y.down)]
    sizes: list[int] = [matrix.weight.numel() for matrix in matrices]
    return max(sizes)


def _turned(matrix: Linear, scratch: Scratch) -> Tensor:
    """Returns a matrix as the vendor's product takes it, [in, out] in the activations' format."""
    weight: Tensor = matrix.weight  # type: ignore[attr-defined]
    scale: Tensor | None = getattr(matrix, "scale", None)
    if (kept := scratch.kept.get(id(matrix))) is not None:
        weight = kept
    elif scale is not None:
        wide = scratch.widened[: weight.numel()].view(weight.shape)
        dense(weight, scale, wide)
        weight = wide
    return weight.t()


def keep_what_fits_widened(model: FrameModel, scratch: Scratch, free_bytes: int) -> None:
    """Widens for good what the vendor's products would have widened in each frame: the predictor's matrices (fifteen
    times a frame), and the talker's where a large GPU has room. There 8 bits are as quick as 16 with many calls.

    free_bytes: the free memory of the GPU, of which the talker's may take WIDENED_SHARE.
    """
    keep_widened(model.predictor.stack, scratch)
    if widened_bytes(model.talker.stack) <= free_bytes * WIDENED_SHARE:
        keep_widened(model.talker.stack, scratch)


def keep_widened(stack: StackWeights, scratch: Scratch) -> None:
    """Widens the 8-bit matrices of a stack for good, for the vendor's products; those in 16 bits stay as they are."""
    for matrix in _eight_bit(stack):
        weight: Tensor = matrix.weight  # type: ignore[attr-defined]
        wide = torch.empty(weight.shape, dtype=stack.norm.dtype, device=weight.device)
        dense(weight, matrix.scale, wide)  # type: ignore[attr-defined]
        scratch.kept[id(matrix)] = wide


def widened_bytes(stack: StackWeights) -> int:
    """Returns the memory that `keep_widened` takes: 157 MB for a predictor, 881 MB for the talker of 0.6B."""
    return sum(matrix.weight.numel() for matrix in _eight_bit(stack)) * stack.norm.itemsize  # type: ignore[attr-defined]


def _eight_bit(stack: StackWeights) -> list[Linear]:
    matrices = [m for layer in stack.layers for m in (layer.qkv, layer.o, layer.gate_up, layer.down)]
    return [matrix for matrix in matrices if getattr(matrix, "scale", None) is not None]


def _vendor_logits(x: Tensor, head: Linear, out: Tensor) -> None:
    """Writes the logits in float32: rounded to 16 bits many would tie, and top-k takes all that tie."""
    weight: Tensor = head.weight  # type: ignore[attr-defined]
    if x.dtype == out.dtype:
        torch.mm(x, weight.t(), out=out)
    else:
        torch.mm(x, weight.t(), out_dtype=out.dtype, out=out)


def _inner(stack: StackWeights) -> int:
    weight: Tensor = stack.layers[0].gate_up.weight  # type: ignore[attr-defined]
    return weight.shape[0] // 2


def _operands(matrix: Linear) -> dict[str, Any]:
    """Returns a matrix's scale and bias as `linear` takes them; int8 and float8 have one scale a row."""
    return {"scale": getattr(matrix, "scale", None), "bias": getattr(matrix, "bias", None)}


def _apply(x: Tensor, matrix: Linear, out: Tensor, how: How, **around: Any) -> None:
    weight: Tensor = matrix.weight  # type: ignore[attr-defined]
    tiling = how.variant.tiling(x.shape[0], x.shape[1], out.shape[1], around.get("gate", False))
    linear(x, weight, out, pdl=how.pdl, tiling=tiling, **_operands(matrix), **around)


def run_layers(stack: StackWeights, x: Tensor, scratch: Scratch, how: How, attention: Any) -> None:
    """Runs all layers over the rows of x [R, hidden], in place. `attention(layer number, layer, qkv, out)` attends."""
    rows, hidden = x.shape
    width = (stack.heads + 2 * stack.kv_heads) * stack.head_dim
    qkv = scratch.qkv[: rows * width].view(rows, width)
    attended = scratch.attended[: rows * stack.heads * stack.head_dim].view(rows, -1)
    size = _inner(stack)
    inner = scratch.inner[: rows * size].view(rows, size)
    normed = scratch.normed[: rows * hidden].view(rows, hidden)
    for number, layer in enumerate(stack.layers):
        if how.vendor:
            gate_up = scratch.gate_up[: rows * size * 2].view(rows, -1)
            rms_norm(x, layer.input_norm, normed, stack.eps, how.pdl)
            torch.mm(normed, _turned(layer.qkv, scratch), out=qkv)
            attention(number, layer, qkv, attended)
            x.addmm_(attended, _turned(layer.o, scratch))
            rms_norm(x, layer.post_norm, normed, stack.eps, how.pdl)
            torch.mm(normed, _turned(layer.gate_up, scratch), out=gate_up)
            silu_mul(gate_up, inner, how.pdl)
            x.addmm_(inner, _turned(layer.down, scratch))
        else:
            _apply(x, layer.qkv, qkv, how, norm=layer.input_norm, eps=stack.eps)
            attention(number, layer, qkv, attended)
            _apply(attended, layer.o, x, how, add=True)
            _apply(x, layer.gate_up, inner, how, norm=layer.post_norm, eps=stack.eps, gate=True)
            _apply(inner, layer.down, x, how, add=True)


def _project(x: Tensor, matrix: Linear, out: Tensor, how: How) -> None:
    """Projects the talker's width to the predictor's, by the one matrix that has a bias and never has 8 bits."""
    weight: Tensor = matrix.weight  # type: ignore[attr-defined]
    bias: Tensor | None = getattr(matrix, "bias", None)
    if not how.vendor:
        _apply(x, matrix, out, how)
    elif bias is None:
        torch.mm(x, weight.t(), out=out)
    else:
        torch.addmm(bias, x, weight.t(), out=out)


def is_plain(model: FrameModel) -> bool:
    """Tells whether weights are in the activations' format, which the vendor's products take as they are."""
    weight: Tensor = model.talker.stack.layers[0].qkv.weight  # type: ignore[attr-defined]
    return weight.dtype == model.talker.stack.norm.dtype


def decode_frame(
    model: FrameModel,
    state: DecodeState,
    slots: Tensor,
    codes: Tensor,
    scratch: Scratch,
    history: Tensor,
    how: How,
    parts: str = "tp",
) -> None:
    """Makes the next frame of B slots, as model.frame does. slots [B] int64; codes [B, 16] int64, written.

    history [slots, frames, 16] int64 gets the codes too, frame f at f modulo frames. `parts`: "t" the talker alone, "p"
    the predictor alone, for measuring.
    """
    rows = slots.shape[0]
    talker, predictor = model.talker, model.predictor
    if "t" in parts:
        _talk(model, state, slots, codes, scratch, rows, how)
    if "p" not in parts:
        return
    vocabulary = talker.embedding.shape[0]
    sub_vocabulary = predictor.embeddings.shape[1]
    logits = scratch.logits[: rows * sub_vocabulary].view(rows, sub_vocabulary)
    stack, cache = predictor.stack, state.predictor_kv
    for number, head in enumerate(predictor.heads, start=1):
        pair = number == 1
        wide = scratch.wide[: 2 * rows] if pair else scratch.wide[rows : 2 * rows]
        narrow = wide
        if predictor.projection is not None:
            narrow = scratch.narrow[: wide.shape[0]]
            _project(wide, predictor.projection, narrow, how)
        run_layers(stack, narrow, scratch, how, _few(stack, cache, number, pair, how.pdl))
        last = narrow[rows:] if pair else narrow
        if how.vendor:
            normed = scratch.normed[: rows * stack.hidden].view(rows, -1)
            rms_norm(last, stack.norm, normed, stack.eps, how.pdl)
            _vendor_logits(normed, head, logits)
        else:
            _apply(last, head, logits, how, norm=stack.norm, eps=stack.eps)
        sample.draw_next(
            logits, slots, state.seed, state.frame, state.sub_temperature, state.sub_top_k, state.sub_top_p, codes,
            number, predictor.embeddings[number - 1], scratch.wide[rows : 2 * rows], scratch.total, vocabulary,
            state.x, state.position, state.text, state.text_length, model.pad, state.talker_kv.max_positions - 1,
            history, how.pdl,
        )  # fmt: skip
    assert codes.shape[1] == CODE_GROUPS


def _talk(
    model: FrameModel, state: DecodeState, slots: Tensor, codes: Tensor, scratch: Scratch, rows: int, how: How
) -> None:
    talker = model.talker
    stack, cache = talker.stack, state.talker_kv
    table = cache.table
    split = split_for(rows)
    x = scratch.x[:rows]
    sample.gather(state.x, slots, x)

    def attention(number: int, layer: Any, qkv: Tensor, out: Tensor) -> None:
        attend(
            qkv, layer.q_norm, layer.k_norm, stack.cos, stack.sin, stack.eps, state.position, slots,
            cache.layer(number), table, scratch.parts, scratch.counters, out, split, how.pdl,
        )  # fmt: skip

    run_layers(stack, x, scratch, how, attention)
    hidden = scratch.wide[:rows]
    rms_norm(x, stack.norm, hidden, stack.eps, how.pdl)
    vocabulary = talker.embedding.shape[0]
    logits = scratch.logits[: rows * vocabulary].view(rows, -1)
    if how.vendor:
        _vendor_logits(hidden, talker.head, logits)
    else:
        _apply(hidden, talker.head, logits, how)
    sample.draw_first(
        logits, model.allowed, slots, state.seed, state.frame, state.temperature, state.top_k, state.top_p,
        state.repetition_penalty, state.seen, codes, talker.embedding, scratch.wide[rows : 2 * rows], scratch.total,
        model.eos, MIN_FRAMES, how.pdl,
    )  # fmt: skip


def _few(stack: StackWeights, cache: KvCache, at: int, pair: bool, pdl: bool) -> Any:
    early = len(stack.layers) > 1  # else the last call before this one wrote it

    def attention(number: int, layer: Any, qkv: Tensor, out: Tensor) -> None:
        attend_few(
            qkv, layer.q_norm, layer.k_norm, stack.cos, stack.sin, stack.eps, at, cache.kv[number], out, pair, pdl,
            early,
        )  # fmt: skip

    return attention
