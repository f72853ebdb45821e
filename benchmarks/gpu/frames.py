"""`tts_gpu frames` and `tts_gpu sound`: what a frame of the language models and a chunk of sound take, by batch."""

from __future__ import annotations

import torch

from benchmarks.gpu.models import DEVICE, build_model, bytes_a_frame, copy_bandwidth_tb_s, no_tuning
from engine.qwen3.cuda.graphs import MEASURED_POSITIONS, Capture, FrameGraphs
from engine.qwen3.cuda.sound_graphs import SoundGraphs
from engine.qwen3.kernels import ahead
from engine.qwen3.kernels.codec import FastCodec
from engine.qwen3.model import codec as eager_codec
from engine.qwen3.model.state import DecodeState
from tests.support.qwen3.random_codec import random_codec

RTX_4060_TB_S = 0.272
POSITIONS, TEXT = 320, 64


def build_frames(size: str, quantize: str, largest: int) -> FrameGraphs:
    """Graphs of frames on random weights, measured; their calls are 16 s into a sentence."""
    model = build_model(size, quantize)
    state = DecodeState.allocate(model.talker, model.predictor, largest, POSITIONS, TEXT, paged=True)
    state.x.normal_()
    state.seed.copy_(torch.arange(largest + 1))
    made = FrameGraphs(model, state, Capture(torch.cuda.Stream(), True), no_tuning(), largest)
    with ahead.compiling():
        made.launch()
    made.build()
    state.position.fill_(MEASURED_POSITIONS)
    return made


def frames(size: str, quantize: str, largest: int) -> None:
    made = build_frames(size, quantize, largest)
    per_frame, bandwidth = bytes_a_frame(made.model), copy_bandwidth_tb_s()
    print(f"\n{size} {quantize}: {per_frame / 1e9:.2f} GB of weights a frame; copy {bandwidth:.2f} TB/s")
    print("batch   ms a frame   x realtime each   in total   weights read at   over the floor   made by")
    for rows in made.sizes:
        ms, variant = made.seconds[rows] * 1e3, made.variants[rows]
        by = f"{variant.kind} {variant.size}, {variant.block_k} x {variant.warps}" if variant.size else variant.kind
        floor_ms = per_frame / bandwidth / 1e9
        print(
            f"{rows:5d} {ms:12.3f} {80 / ms:17.1f} {rows * 80 / ms:10.0f}"
            f" {per_frame / ms / 1e9:12.2f} TB/s {ms / floor_ms:16.2f}   {by}"
        )
    share = per_frame / made.seconds[1] / 1e12 / bandwidth
    estimate = per_frame / (RTX_4060_TB_S * 1e12 * min(0.85, max(share, 0.7))) * 1e3
    print(f"RTX 4060, an ESTIMATE from bytes at 70 to 85 % of 0.272 TB/s: {estimate:.1f} ms, {80 / estimate:.1f} x")


def sound() -> None:
    wide = random_codec(DEVICE, torch.float32)
    state = eager_codec.CodecState.allocate(wide, 4)
    generator = torch.Generator(DEVICE).manual_seed(3)
    codes = torch.randint(0, 2048, (2, 48, 16), generator=generator, device=DEVICE)
    at = torch.tensor([2, 0], device=DEVICE)
    reference = torch.cat([eager_codec.decode(wide, state, at, c) for c in codes.split(8, dim=1)], dim=1)
    for dtype in (torch.float16, torch.bfloat16):
        fast = FastCodec(wide, 4, 2, dtype=dtype)
        parts = []
        for c in codes.split(8, dim=1):
            part = torch.full((2, 8 * 1920), float("nan"), device=DEVICE)
            fast.decode(at, c.contiguous(), part)
            parts.append(part)
        error = (torch.cat(parts, dim=1) - reference).square().mean()
        print(f"codec in {dtype}: {10 * torch.log10(reference.square().mean() / error).item():.1f} dB over its error")
    del fast
    fast = FastCodec(wide, 512, 256, dtype=torch.float16)
    history = torch.randint(0, 2048, (513, 32, 16), device=DEVICE)
    made = SoundGraphs(fast, history, Capture(torch.cuda.Stream(), True), 512)
    with ahead.compiling():
        made.launch()
    made.build()
    print("calls x frames   ms   us a call and frame")
    for (rows, count), seconds in sorted(made.seconds.items()):
        print(f"{rows:5d} x {count:d} {seconds * 1e3:12.3f} {seconds / rows / count * 1e6:12.1f}")
