"""Compiles kernels of frames and of sound for a GPU that is not there: `… -m tests.support.qwen3.build_kernels 89 …`.

For test_builds.py, in a process of its own: Triton decides at its import whether kernels are compiled or interpreted.
Prints a line for each kernel: its name, registers, bytes spilled a thread, bytes of shared memory.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from engine.qwen3.batch.sentence import CHUNK_RAMP
from engine.qwen3.cuda.graphs import HISTORY_FRAMES
from engine.qwen3.kernels import ahead, frame, pdl, sample
from engine.qwen3.kernels.codec import FastCodec
from engine.qwen3.kernels.variants import candidates
from engine.qwen3.model.frame import FrameModel
from engine.qwen3.model.quantize import to_fp8, to_int8
from engine.qwen3.model.state import DecodeState
from tests.support.qwen3.convert import convert
from tests.support.qwen3.random_codec import CodecSize, random_codec
from tests.support.qwen3.random_weights import PREDICTOR_SIZE, TALKER_SIZES, random_weights

ROWS = {"none": (1, 2, 4, 64), "int8": (1, 2, 4, 16, 32, 64), "fp8": (1, 4, 16, 64)}
"""Batches, the largest among them, in which every variant occurs that `candidates` names for a format."""
SOUND = (CHUNK_RAMP[0], CHUNK_RAMP[-1])
FORMATS = {"none": None, "int8": to_int8, "fp8": to_fp8}
TOOLS = Path(triton.__file__).parent / "backends/nvidia/bin"


class Absent:
    """A driver for a GPU that is only compiled for."""

    def __init__(self, capability: int) -> None:
        self._target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self._target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def launch_all(capability: int, size: str, quantize: str) -> None:
    """Compiles every kernel that a start would compile, in the real models' widths, for the batches of ROWS."""
    sizes = replace(TALKER_SIZES[size], layers=1), replace(PREDICTOR_SIZE, layers=2)
    talker, predictor = random_weights(*sizes, "cpu", torch.bfloat16, 128)
    plain = FrameModel.build(talker, predictor, torch.zeros(talker.stack.hidden, dtype=torch.bfloat16), 2150)
    most = max(ROWS[quantize])
    state = DecodeState.allocate(talker, predictor, most, 128, 8)
    history = torch.zeros(most + 1, HISTORY_FRAMES, 16, dtype=torch.int64)
    to = FORMATS[quantize]
    model = plain if to is None else convert(plain, to)
    scratch = frame.Scratch.allocate(model, most)
    for rows in ROWS[quantize]:
        slots, codes = torch.zeros(rows, dtype=torch.int64), torch.zeros(rows, 16, dtype=torch.int64)
        for variant in candidates(rows, frame.is_plain(model)):
            frame.decode_frame(model, state, slots, codes, scratch, history, frame.How(variant, capability >= 90))
    if to is not None:
        return  # the sound's kernels are the same
    codec = FastCodec(random_codec("cpu", torch.float32, CodecSize(layers=1)), 4, 4)
    for frames in SOUND:
        rows = codec.rows_for(frames)
        codes, at = torch.zeros(rows, frames, 16, dtype=torch.int64), torch.zeros(rows, dtype=torch.int64)
        sample.recall(history, at, at, codes)
        codec.decode(at, codes, torch.zeros(rows, frames * codec.samples_per_frame))


def usage(cubin: Path) -> tuple[int, int]:
    """Returns the registers and spilled bytes of a thread."""
    told = subprocess.run([TOOLS / "cuobjdump", "-res-usage", cubin], capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", told)
    assert found, told
    return int(found[1]), int(found[2])


def main(capability: int, size: str, quantize: str) -> None:
    assert not pdl.INTERPRETED
    driver.set_active(Absent(capability))
    made: list[tuple[str, int, Path]] = []

    def listen(*, metadata: dict[str, Any], metadata_group: dict[str, str], **_: Any) -> None:
        cubin = next(Path(path) for name, path in metadata_group.items() if name.endswith(".cubin"))
        made.append((metadata["name"], metadata["shared"], cubin))

    triton.knobs.compilation.listener = listen
    # What the vendor multiplies is left out: a CPU would take long, and nothing is compiled for it.
    torch.mm = lambda *_, **__: None  # type: ignore[assignment]
    torch.Tensor.addmm_ = lambda self, *_, **__: self  # type: ignore[method-assign]
    with torch.inference_mode(), ahead.compiling():
        launch_all(capability, size, quantize)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (name, shared, _), (registers, spilled) in zip(made, pool.map(usage, [c for *_, c in made]), strict=True):
            print(name, registers, spilled, shared)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
