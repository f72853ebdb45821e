"""The codec's decoder in hand-written kernels: the weights and arithmetic of `model.codec`, channels last, in 16 bits.

`FastCodec.decode` does what engine.qwen3.model.codec.decode does. What a slot's convolutions remember is one row of one
tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from engine.qwen3.kernels import conv, memory
from engine.qwen3.kernels.codec_weights import pack, pack_blocks, pack_layers, pack_nexts, pack_snake
from engine.qwen3.kernels.conv import GELU, Rows
from engine.qwen3.kernels.linear import rms_norm, silu_mul
from engine.qwen3.model.codec import MAX_CHUNK_FRAMES
from engine.qwen3.model.codec_weights import CodecWeights
from engine.qwen3.model.weights import moved

Plain = Callable[[int, int, int], tuple[Rows, Tensor]]
"""(which of three, rows a call, width) → a buffer without a context, as a product takes it and as a matrix."""
FRAMES_AT_ONCE: Final = 4
"""The frames of each call that the buffers are made for; with longer chunks fewer calls go at once. They take 4.3 MB a
call and frame: with few calls, and thus perhaps little memory, they take half, or hold `FEWEST` frames in all."""
FEW_ROWS: Final = 32
FEWEST: Final = 32
COPY_BLOCK: Final = 1024
"""The elements that one program of `remember` copies."""


class _Layout:
    """The arena's buffers for one number of frames: those with a context first, each wide enough for `rows` calls."""

    def __init__(self, codec: FastCodec, rows: int, frames: int) -> None:
        self.rows, self.frames = rows, frames
        self.spans: list[tuple[int, int]] = []  # offset, stride
        table: list[tuple[int, int, int, int, int]] = []
        offset = kept = 0
        for context, channels, rate in codec.contexts:
            stride = (context + frames * rate) * channels
            self.spans.append((offset, stride))
            length = context * channels
            for begin in range(0, length, COPY_BLOCK):
                size = min(COPY_BLOCK, length - begin)
                table.append((kept + begin, offset + begin, stride, size, frames * rate * channels))
            kept += length
            offset += -(-rows * stride // 64) * 64
        self.context_end = offset
        self.table = torch.tensor(table, dtype=torch.int64, device=codec.device)
        widest = max(
            [codec.latent * 4 * block.rate for block in codec.nexts]
            + [block.up.channels * block.rate for block in codec.blocks]
            + [3 * codec.heads * codec.head_dim, 2 * codec.layers[0].inner]
        )
        self.plain = rows * frames * widest
        self.size = offset + 3 * self.plain


@dataclass(frozen=True, slots=True)
class Heard:
    """What the codec remembers of one slot."""

    state: Tensor
    kv: Tensor
    position: Tensor

    @property
    def nbytes(self) -> int:
        return self.state.nbytes + self.kv.nbytes


class FastCodec:
    """The codec's weights, the slots' state and the buffers.

    Slots are numbered as in `CodecState`, the last one a scratch slot for padding rows. `max_rows` calls are decoded at
    once at most, of up to `max_frames` frames each.
    """

    def __init__(
        self, weights: CodecWeights, slots: int, max_rows: int, max_frames: int = MAX_CHUNK_FRAMES,
        dtype: torch.dtype = torch.bfloat16, device: torch.device | str | None = None,
    ) -> None:  # fmt: skip
        """The codec is made on `device`, or where the weights are. These are packed in place and not kept: in float32
        they take twice the room of what is packed of them."""
        self.dtype, self.eps, self.window = dtype, weights.eps, weights.window
        self.heads, self.head_dim = weights.heads, weights.head_dim
        self.device = weights.norm.device if device is None else torch.device(device)
        self.cos, self.sin, self.norm = moved((weights.cos, weights.sin, weights.norm), self.device)
        self.max_rows, self.max_frames = max_rows, max_frames
        wide = weights.codebooks.float()
        projected = [book @ weights.project[min(i, 1)].float().t() for i, book in enumerate(wide)]
        self.table = torch.stack(projected).to(self.device, dtype)
        self.pre, self.widen, self.last, self.input, self.output = moved(
            tuple(
                pack(each, dtype)
                for each in (weights.pre_conv, weights.widen, weights.last, weights.input, weights.output)
            ), self.device,
        )  # fmt: skip
        self.layers = moved(pack_layers(weights, dtype), self.device)
        self.latent = weights.output[0].shape[0]
        self.nexts = moved(pack_nexts(weights, dtype), self.device)
        self.base_rate = self.nexts[-1].rate
        self.blocks = moved(pack_blocks(weights, dtype, self.base_rate), self.device)
        self.last_snake = moved(pack_snake(weights.last_snake), self.device)
        self.samples_per_frame = self.blocks[-1].rate
        self.contexts = self._contexts()
        size = slots + 1
        self.state_size = sum(context * channels for context, channels, _ in self.contexts)
        self.state = torch.zeros(size, self.state_size, dtype=dtype, device=self.device)
        ring = weights.window - 1 + max_frames
        shape = (len(self.layers), 2, size, weights.heads, ring, weights.head_dim)
        self.kv = torch.zeros(shape, dtype=dtype, device=self.device)
        self.position = torch.zeros(size, dtype=torch.int64, device=self.device)
        self._layouts: dict[int, _Layout] = {}
        self.arena = torch.empty(
            max(self.layout(frames).size for frames in range(1, max_frames + 1)), dtype=dtype, device=self.device
        )

    def _contexts(self) -> list[tuple[int, int, int]]:
        """Returns rows, channels and the rows that one frame adds, for every buffer that begins with a context."""
        out = [(self.pre.context, self.pre.channels_in, 1)]
        out += [(block.depthwise.shape[0] - 1, self.latent, block.rate) for block in self.nexts]
        out.append((self.widen.context, self.widen.channels_in, self.base_rate))
        before = self.base_rate
        for block in self.blocks:
            out.append((block.up.context, block.up.channels_in, before))
            out += [(unit.first.context, unit.first.channels_in, block.rate) for unit in block.units]
            before = block.rate
        out.append((self.last.context, self.last.channels_in, before))
        return out

    def layout(self, frames: int) -> _Layout:
        if frames not in self._layouts:
            self._layouts[frames] = _Layout(self, self.rows_for(frames), frames)
        return self._layouts[frames]

    def rows_for(self, frames: int) -> int:
        """Returns how many calls fit in the buffers in chunks of so many frames."""
        each = FRAMES_AT_ONCE if self.max_rows > FEW_ROWS else FRAMES_AT_ONCE // 2
        return max(1, min(self.max_rows, max(FEWEST, each * self.max_rows) // frames))

    @property
    def nbytes(self) -> int:
        return self.state.nbytes + self.kv.nbytes + self.arena.nbytes

    def reset(self, slot: int) -> None:
        """Resets a slot to the silence before a first frame."""
        self.position[slot].fill_(0)  # `= 0` would wait for the GPU
        self.state[slot].fill_(0)

    def read(self, slot: int) -> Heard:
        """Returns a copy of what a slot remembers."""
        return Heard(self.state[slot].clone(), self.kv[:, :, slot].clone(), self.position[slot].clone())

    def write(self, slot: int, heard: Heard) -> None:
        """Puts what `read` gave into a slot."""
        self.state[slot], self.position[slot] = heard.state, heard.position
        self.kv[:, :, slot].copy_(heard.kv)

    def decode(self, slots: Tensor, codes: Tensor, pcm: Tensor) -> None:
        """Decodes the next T frames of B slots. slots [B], codes [B, T, 16] int64; pcm [B, T * 1920] int16 or float."""
        batch, frames, _ = codes.shape
        layout = self.layout(frames)
        assert batch <= layout.rows
        assert codes.is_contiguous()
        assert pcm.is_contiguous()
        memory.remember(self.state, self.arena, slots, layout.table, COPY_BLOCK, save=False)
        spans = iter(zip(layout.spans, self.contexts, strict=True))

        def span() -> tuple[Rows, Rows]:
            """Returns the next buffer with a context: whole, as a convolution reads it, and its new rows alone."""
            (offset, stride), (context, channels, _) = next(spans)
            return Rows(self.arena[offset:], stride), Rows(self.arena[offset + context * channels :], stride)

        def plain(index: int, rows: int, width: int) -> tuple[Rows, Tensor]:
            offset = layout.context_end + index * layout.plain
            data = self.arena[offset : offset + batch * rows * width].view(batch * rows, width)
            return Rows(data, rows * width), data

        whole, new = span()
        conv.embed(self.table, codes, new)
        latent, _ = plain(0, frames, self.latent)
        conv.convolve(self.pre, whole, batch, frames, out=latent)
        rows = self._transform(slots, batch, frames, latent, plain)
        steps = frames
        whole, new = span()
        for index, block in enumerate(self.nexts):
            conv.convolve(block.up, rows, batch, steps, out=new)
            steps *= block.stride
            normed_rows, normed = plain(0, steps, self.latent)
            conv.depthwise_norm(block.depthwise, block.depthwise_bias, *block.norm, whole, batch, steps, normed)
            hidden, _ = plain(1, steps, block.wide.channels)
            conv.convolve(block.wide, normed_rows, batch, steps, out=hidden, act=GELU)
            residual = new
            whole, new = span()
            if index + 1 < len(self.nexts):
                rows, _ = plain(2, steps, self.latent)
            else:
                rows = new
            conv.convolve(block.narrow, hidden, batch, steps, out=rows, residual=residual)
        inp = whole  # what the next block's first convolution reads
        whole, new = span()
        alpha, inverse_beta = self.blocks[0].snake
        conv.convolve(self.widen, inp, batch, steps, snaked=new, alpha=alpha, inverse_beta=inverse_beta)
        inp = whole
        for index, stage in enumerate(self.blocks):
            wave, _ = plain(0, steps * stage.stride, stage.up.channels)
            whole, new = span()
            alpha, inverse_beta = stage.units[0].first_snake
            conv.convolve(stage.up, inp, batch, steps, out=wave, snaked=new, alpha=alpha, inverse_beta=inverse_beta)
            steps *= stage.stride
            for number, unit in enumerate(stage.units):
                inp = whole
                inner, _ = plain(1, steps, unit.first.channels)
                alpha, inverse_beta = unit.second_snake
                conv.convolve(unit.first, inp, batch, steps, snaked=inner, alpha=alpha, inverse_beta=inverse_beta)
                whole, new = span()
                ends = number + 1 == len(stage.units)
                if not ends:
                    alpha, inverse_beta = stage.units[number + 1].first_snake
                elif index + 1 < len(self.blocks):
                    alpha, inverse_beta = self.blocks[index + 1].snake
                else:
                    alpha, inverse_beta = self.last_snake
                conv.convolve(
                    unit.second, inner, batch, steps, out=None if ends else wave, residual=wave,
                    snaked=new, alpha=alpha, inverse_beta=inverse_beta,
                )  # fmt: skip
            inp = whole
        conv.last_convolution(self.last, inp, batch, steps, pcm)
        memory.remember(self.state, self.arena, slots, layout.table, COPY_BLOCK, save=True)
        memory.advance(self.position, slots, frames)

    def _transform(self, slots: Tensor, batch: int, frames: int, latent: Rows, plain: Plain) -> Rows:
        hidden = self.input.channels
        x, flat = plain(1, frames, hidden)
        conv.convolve(self.input, latent, batch, frames, out=x)
        inner_width = self.layers[0].inner
        width = 3 * self.heads * self.head_dim

        for number, layer in enumerate(self.layers):
            normed_rows, normed = plain(2, frames, hidden)
            rms_norm(flat, layer.input_norm, normed, self.eps)
            qkv_rows, qkv = plain(0, frames, width)
            conv.convolve(layer.qkv, normed_rows, batch, frames, out=qkv_rows)
            attended_rows, attended = plain(2, frames, self.heads * self.head_dim)
            memory.attend_window(
                qkv.view(batch, frames, width), self.cos, self.sin, slots, self.position, self.kv[number],
                attended, self.window,
            )  # fmt: skip
            conv.convolve(layer.o, attended_rows, batch, frames, out=x, residual=x)
            rms_norm(flat, layer.post_norm, normed, self.eps)
            both_rows, both = plain(0, frames, 2 * inner_width)
            conv.convolve(layer.gate_up, normed_rows, batch, frames, out=both_rows)
            inner_rows, inner = plain(2, frames, inner_width)
            silu_mul(both, inner)
            conv.convolve(layer.down, inner_rows, batch, frames, out=x, residual=x)
        normed_rows, normed = plain(2, frames, hidden)
        rms_norm(flat, self.norm, normed, self.eps)
        out, _ = plain(0, frames, self.latent)
        conv.convolve(self.output, normed_rows, batch, frames, out=out)
        return out
