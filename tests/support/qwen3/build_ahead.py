"""Compiles all kernels of a start for a GPU that is not there: `python -m tests.support.qwen3.build_ahead 89 …`.

They go to TRITON_CACHE_DIR, where a start with the same settings finds them. The image does so while it is built. What
is launched is what `GraphRunner` launches, on weights at random in the CPU's memory: their values do not matter.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import torch
import triton
from triton.runtime import driver

from engine.qwen3.cuda.fast_slots import FastSlots
from engine.qwen3.cuda.graphs import Capture, FrameGraphs
from engine.qwen3.cuda.prefill import PrefillGraphs
from engine.qwen3.cuda.sound_graphs import SoundGraphs
from engine.qwen3.cuda.tuning import Tuning
from engine.qwen3.kernels import ahead, pdl
from engine.qwen3.model.checkpoint import fast_codec_dtype
from engine.qwen3.model.frame import FrameModel
from engine.qwen3.settings import QwenSettings
from tests.support.qwen3.build_kernels import FORMATS, Absent, leave_out_the_vendor
from tests.support.qwen3.convert import convert
from tests.support.qwen3.random_codec import CodecSize, random_codec
from tests.support.qwen3.random_weights import PREDICTOR_SIZE, TALKER_SIZES, random_weights

DEFAULTS = QwenSettings()
EOS = 2150


def a_model(size: str, quantize: str, positions: int) -> FrameModel:
    """Returns a model in the true widths. All layers are alike, so that it has no more than it takes to tell so."""
    sizes = replace(TALKER_SIZES[size], layers=1), replace(PREDICTOR_SIZE, layers=2)
    talker, predictor = random_weights(*sizes, "cpu", torch.bfloat16, positions)
    model = FrameModel.build(talker, predictor, torch.zeros(talker.stack.hidden, dtype=torch.bfloat16), EOS)
    to = FORMATS[quantize]
    return model if to is None else convert(model, to)


def launch_all(size: str, quantize: str, places: int, positions: int) -> None:
    """Launches what `GraphRunner` launches at its start."""
    model = a_model(size, quantize, positions)
    sound = random_codec("cpu", torch.float32, CodecSize(layers=1))
    none: Any = None  # nothing is captured, and no stream is entered
    slots = FastSlots(model, sound, places, positions, positions, 0, none, fast_codec_dtype(DEFAULTS))
    capture = Capture(none, enabled=False)
    frames = FrameGraphs(model, slots.state, capture, Tuning("none"), places)
    for part in (
        frames,
        PrefillGraphs(model, slots.state, frames.scratch, capture),
        SoundGraphs(slots.fast_codec, frames.history, capture, slots.state.scratch),
    ):
        part.launch()


def build(capability: int, size: str, quantize: str, places: int, positions: int) -> tuple[int, int]:
    """Compiles all kernels. Returns how many there are, and how many of them were there already."""
    found: list[bool] = []
    triton.knobs.compilation.listener = lambda *, cache_hit, **_: found.append(cache_hit)
    driver.set_active(Absent(capability))
    pdl.assume(capability)
    leave_out_the_vendor()
    with torch.inference_mode(), ahead.compiling(launchers=False):
        launch_all(size, quantize, places, positions)
    return len(found), sum(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capability", type=int, help="of the GPU: 89 for 8.9, an RTX 40; 90 for an H100")
    parser.add_argument("--size", default="0.6B", choices=sorted(TALKER_SIZES))
    parser.add_argument("--quantize", default="int8", choices=sorted(FORMATS))
    parser.add_argument("--max-batch", type=int, default=DEFAULTS.max_batch)
    parser.add_argument("--max-positions", type=int, default=DEFAULTS.max_positions)
    args = parser.parse_args()
    kernels, found = build(args.capability, args.size, args.quantize, args.max_batch, args.max_positions)
    print(f"{kernels} kernels for {args.capability}, {found} of them compiled before")


if __name__ == "__main__":
    main()
