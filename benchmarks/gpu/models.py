"""What `benchmarks.tts_gpu` measures: models of the true sizes with weights drawn at random, and runners of them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from engine.qwen3.cuda.fast_slots import FastSlots
from engine.qwen3.cuda.graph_runner import GraphRunner
from engine.qwen3.cuda.graphs import measure
from engine.qwen3.cuda.pinned import Streams
from engine.qwen3.cuda.tuning import Tuning
from engine.qwen3.model.frame import FrameModel
from engine.qwen3.model.quantize import to_fp8, to_int8
from tests.support.qwen3.convert import convert
from tests.support.qwen3.random_codec import random_codec
from tests.support.qwen3.random_weights import PREDICTOR_SIZE, TALKER_SIZES, random_weights

DEVICE = torch.device("cuda")
EOS = 2150
PREFIX_BYTES = 2**28


def build_model(size: str, quantize: str) -> FrameModel:
    talker, predictor = random_weights(TALKER_SIZES[size], PREDICTOR_SIZE, DEVICE, torch.bfloat16)
    model = FrameModel.build(talker, predictor, torch.randn(talker.stack.hidden, device=DEVICE).bfloat16() * 0.1, EOS)
    model.allowed[EOS] = False  # each sentence is as long as the benchmark wants it
    convert_to = {"none": None, "int8": to_int8, "fp8": to_fp8}[quantize]
    return model if convert_to is None else convert(model, convert_to)


def no_tuning() -> Tuning:
    """A tuning that knows nothing yet and keeps nothing."""
    return Tuning("benchmark", Path(tempfile.mkdtemp()))


def build_runner(
    size: str,
    quantize: str,
    slots: int,
    positions: int = 192,
    text: int = 64,
    *,
    separate: bool = True,
    graphs: bool = True,
    pin: bool = True,
) -> tuple[GraphRunner, FrameModel]:
    """Returns a runner; with `separate` its work has streams of its own."""
    model = build_model(size, quantize)
    codec = random_codec(DEVICE, torch.float32)
    fast = FastSlots(model, codec, slots, positions, text, PREFIX_BYTES, Streams.make(DEVICE, separate))
    return GraphRunner(fast, no_tuning(), graphs=graphs, pin=pin), model


def bytes_a_frame(model: FrameModel) -> int:
    """Returns the bytes of weights that one frame of one call reads: the predictor's layers 15 times, all else once."""
    talker = sum(m.nbytes for y in model.talker.stack.layers for m in (y.qkv, y.o, y.gate_up, y.down))
    predictor = sum(m.nbytes for y in model.predictor.stack.layers for m in (y.qkv, y.o, y.gate_up, y.down))
    heads = model.talker.head.nbytes + sum(head.nbytes for head in model.predictor.heads)
    return talker + 15 * predictor + heads


def copy_bandwidth_tb_s() -> float:
    source = torch.randint(0, 127, (2**31,), dtype=torch.int8, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * source.nbytes / measure(lambda: target.copy_(source)) / 1e12  # type: ignore[arg-type, return-value]
