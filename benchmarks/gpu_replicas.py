"""What `benchmarks.host` and `benchmarks.two_gpus` start: engines of true size on GPUs, behind `talkspurt engine`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import psutil

from tests.support import replica_process
from tests.support.replica_process import ReplicaProcess

SENTENCE_POSITIONS: Final = 64
"""The positions that end a sentence after 54 frames, 4.3 s."""
BUILD: Final = """
import sys, torch
from pathlib import Path
from tests.support.qwen3.checkpoints import build_checkpoint
dtype = torch.bfloat16 if sys.argv[3] == "cuda" else torch.float32
build_checkpoint(Path(sys.argv[1]), "custom_voice", sys.argv[2], device=sys.argv[3], dtype=dtype, end_gain=0)
"""


async def build_checkpoint(folder: Path, size: str, device: str) -> None:
    """Makes a checkpoint in a process of its own, so that its share of the GPU is free afterwards."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", BUILD, str(folder), size, device)
    if await process.wait():
        raise RuntimeError("the checkpoint could not be made")


def engine_settings(folder: Path, device: str, places: int) -> dict[str, str]:
    """Returns the settings of an engine with that checkpoint."""
    return {
        "ENGINE": "qwen3",
        "MODEL_ID": str(folder),
        "DEVICE": device,
        "DTYPE": "float32" if device == "cpu" else "bfloat16",
        "MAX_BATCH": str(places),
        "MAX_POSITIONS": str(SENTENCE_POSITIONS),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }


@contextmanager
def on_cores(cores: list[int]) -> Iterator[None]:
    """What is started within the block has these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class GpuReplica(ReplicaProcess):
    """A replica, and the model's process of it."""

    def pids(self) -> list[int]:
        """Returns its two processes: the one with the port, and the model's."""
        assert self._process is not None
        children = psutil.Process(self._process.pid).children(recursive=True)
        return [self._process.pid, max(children, key=lambda child: child.memory_info().rss).pid]


@asynccontextmanager
async def gpu_replicas(
    folder: Path, devices: list[str], places: int, checkpoint: Path
) -> AsyncIterator[list[GpuReplica]]:
    """Runs a replica for each device, all of them ready, until the end of the block."""
    replica_process.START_TIMEOUT_S = 400  # the first start compiles the kernels
    running = [
        GpuReplica(folder, f"replica-{number}", module="bridge", **engine_settings(checkpoint, device, places))
        for number, device in enumerate(devices)
    ]
    try:
        for one in running:
            one.begin()
        for one in running:
            await asyncio.to_thread(one.ready)
        yield running
    finally:
        for one in running:
            one.kill()
