"""Copies a tensor from host memory to the GPU, without waiting for it."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Returns the tensor on the device, in the current stream's order; the host goes on at once.

    A copy from ordinary memory would wait until the GPU has done what it was told before. The page-locked memory in
    between comes from torch's own pool, which knows when it can be used again.
    """
    if tensor.device == device:
        return tensor
    if device.type == "cuda" and not tensor.is_cuda:
        with contextlib.suppress(RuntimeError):  # cannot be locked: PinnedPool tells of that
            tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
