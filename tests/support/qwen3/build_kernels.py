"""Compiles kernels of frames and of sound for a GPU that is not there: `… -m tests.support.qwen3.build_kernels 89 …`.

For test_builds.py, in a process of its own: Triton decides at its import whether kernels are compiled or interpreted.
Prints a line for each kernel: its name, registers, bytes spilled a thread, bytes of shared memory.

Of the launches of a start, `covering` leaves out those of which another one tells as much.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from engine.qwen3.batch.sentence import CHUNK_RAMP
from engine.qwen3.cuda.graphs import HISTORY_FRAMES
from engine.qwen3.cuda.sound_graphs import SoundLayout
from engine.qwen3.kernels import ahead, frame, narrowband, pdl, sample
from engine.qwen3.kernels.codec import FastCodec
from engine.qwen3.kernels.variants import candidates
from engine.qwen3.model.frame import FrameModel
from engine.qwen3.model.narrowband import allocate_before
from engine.qwen3.model.quantize import to_fp8, to_int8
from engine.qwen3.model.state import DecodeState
from tests.support.qwen3.convert import convert
from tests.support.qwen3.random_codec import CodecSize, random_codec
from tests.support.qwen3.random_weights import PREDICTOR_SIZE, TALKER_SIZES, random_weights

ROWS = {"none": (1, 2, 4, 64), "int8": (1, 2, 4, 16, 64), "fp8": (1, 4, 16, 64)}
"""Batches, the largest among them, in which every variant occurs that `candidates` names for a format."""
SOUND = (CHUNK_RAMP[0], CHUNK_RAMP[-1])
FORMATS = {"none": None, "int8": to_int8, "fp8": to_fp8}
SIZES = {"_rows": ("K", "B", "BN"), "_slices": ("BM", "BN"), "_conv": ("BM", "BN", "BK")}
"""Of the kernels that are compiled in dozens of shapes: how much one program holds at once. More takes more registers
and more shared memory."""
FOLLOWING = {"_rows": ("KP", "BP"), "_slices": ("K", "LINES"), "_conv": ("CIN", "TAPS", "CHANNELS")}
"""What follows from the sizes, or says only how often a loop runs and how far it steps."""
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


@dataclass(frozen=True)
class Launch:
    """A kernel and what it is launched with."""

    kernel: Any
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.kernel.__name__)

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(self.options[size] for size in SIZES[self.name])

    @property
    def code(self) -> tuple[Any, ...]:
        """What decides the kernel's code apart from its sizes: formats, what it does beside the product, warps."""
        formats = tuple(argument.dtype for argument in self.arguments if isinstance(argument, torch.Tensor))
        left_out = {*SIZES[self.name], *FOLLOWING[self.name], "grid"}
        return self.name, formats, *sorted(item for item in self.options.items() if item[0] not in left_out)

    @property
    def tile(self) -> tuple[Any, ...]:
        return self.name, self.sizes, self.options.get("num_warps"), self.options.get("num_stages")


def covering(launches: Iterable[Launch]) -> list[Launch]:
    """Returns the launches that tell what all of them would.

    Those of a kernel that differ in their sizes alone need at most what the largest needs. So of each code the largest
    sizes remain, and where none is the largest in every size, all that no other one surpasses. Beside them remains one
    launch of every tile there is, for a shape may be one that Triton refuses; and every launch of the other kernels.
    It was compared with compiling all 247 of these: none that is left out spills more than what stands for it, or takes
    more shared memory.
    """
    chosen: list[Launch] = []
    groups: dict[tuple[Any, ...], dict[tuple[int, ...], Launch]] = defaultdict(dict)
    for launch in launches:
        if launch.name in SIZES:
            groups[launch.code][launch.sizes] = launch
        else:
            chosen.append(launch)
    for group in groups.values():
        chosen += [it for it in group.values() if not any(_surpasses(other, it.sizes) for other in group)]
    tiles = {it.tile for it in chosen if it.name in SIZES}
    for group in sorted(groups.values(), key=_work):  # what does little beside its product compiles soonest
        for it in group.values():
            if it.tile not in tiles:
                tiles.add(it.tile)
                chosen.append(it)
    return chosen


def _work(group: dict[tuple[int, ...], Launch]) -> int:
    return sum(option is True for option in next(iter(group.values())).options.values())


def _surpasses(sizes: tuple[int, ...], others: tuple[int, ...]) -> bool:
    return sizes != others and all(size >= other for size, other in zip(sizes, others, strict=True))


def launch_all(capability: int, size: str, quantize: str) -> None:
    """Launches every kernel that a start would compile, in the real models' widths, for the batches of ROWS."""
    sizes = replace(TALKER_SIZES[size], layers=1), replace(PREDICTOR_SIZE, layers=2)
    talker, predictor = random_weights(*sizes, "cpu", torch.bfloat16, 128)
    plain = FrameModel.build(talker, predictor, torch.zeros(talker.stack.hidden, dtype=torch.bfloat16), 2150)
    most = max(ROWS[quantize])
    state = DecodeState.allocate(talker, predictor, most, 128, 8, paged=True)
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
    before = allocate_before(4, "cpu")
    codec = FastCodec(random_codec("cpu", torch.float32, CodecSize(layers=1)), 4, 4)
    for frames in SOUND:
        rows = codec.rows_for(frames)
        codes, at = torch.zeros(rows, frames, 16, dtype=torch.int64), torch.zeros(rows, dtype=torch.int64)
        sample.recall(history, at, at, codes)
        layout = SoundLayout(rows, frames, codec.samples_per_frame)
        pcm, narrow, levels = layout.of(torch.zeros(layout.size, dtype=torch.int16))
        codec.decode(at, codes, pcm.view(rows, -1))
        narrowband.narrow(before, at, at, pcm.view(rows, -1), narrowband.taps_on("cpu"), narrow)
        narrowband.level(before, at, pcm.view(rows, -1), levels.view(rows, -1))


def leave_out_the_vendor() -> None:
    """Has nothing multiplied by the vendor's library: a CPU would take long, and nothing is compiled for it."""
    torch.mm = lambda *_, **__: None  # type: ignore[assignment]
    torch.Tensor.addmm_ = lambda self, *_, **__: self  # type: ignore[method-assign]


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
    leave_out_the_vendor()
    launches: list[Launch] = []
    warm_up = JITFunction.warmup
    JITFunction.warmup = lambda kernel, *arguments, **options: launches.append(Launch(kernel, arguments, options))
    with torch.inference_mode(), ahead.compiling():
        launch_all(capability, size, quantize)
        for launch in covering(launches):
            warm_up(launch.kernel, *launch.arguments, **launch.options)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (name, shared, _), (registers, spilled) in zip(made, pool.map(usage, [c for *_, c in made]), strict=True):
            print(name, registers, spilled, shared)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
