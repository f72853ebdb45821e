"""A part of the GPU's multiprocessors for a whole process: CUDA's green contexts."""

from __future__ import annotations

import torch

MULTIPROCESSORS = "BENCHMARK_MULTIPROCESSORS"
"""The variable of the environment that says on how many a child process runs; without it on all."""
_kept: list[object] = []


def enter(multiprocessors: int) -> None:
    """Has all that follows in this process run on so many multiprocessors. Nothing may have used the GPU before."""
    from torch.cuda.green_contexts import GreenContext

    torch.cuda.init()
    context = GreenContext.create(num_sms=multiprocessors, device_id=0)
    context.set_context()
    _kept.append(context)
