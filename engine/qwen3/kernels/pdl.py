"""Programmatic dependent launch: a kernel starts while the one before it still runs, and fetches its weights meanwhile.

Every kernel here keeps one order: read what no kernel that may still run writes (weights; caches and counters of frames
that have ended), `follow()`, read what kernels before it made.
`follow` returns when every kernel before it has ended, because each of those has waited in the same way. Compute
capability 9.0 and newer; elsewhere the launches are ordinary and `follow` compiles to nothing.
"""

from __future__ import annotations

import functools
import os
from typing import Any, Final

import torch
import triton
import triton.language as tl

INTERPRETED: Final = os.environ.get("TRITON_INTERPRET") == "1"

if INTERPRETED:

    @triton.jit
    def follow(PDL: tl.constexpr, EARLY: tl.constexpr):  # type: ignore[no-untyped-def]
        pass

else:
    from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

    @triton.jit
    def follow(PDL: tl.constexpr, EARLY: tl.constexpr):  # type: ignore[no-untyped-def]
        """Waits for all kernels before this one. EARLY lets the next kernel start now; without it, the next one starts
        when this one's predecessors have ended, which bounds how far ahead kernels may run: one such kernel a layer
        makes older caches safe to read early."""
        if PDL:
            if EARLY:
                gdc_launch_dependents()
            gdc_wait()
            if not EARLY:
                gdc_launch_dependents()


def assume(capability: int) -> None:
    """Has kernels compiled for a GPU of this capability (90 for 9.0), which need not be here."""
    _assumed.append(capability)
    supported.cache_clear()


_assumed: Final[list[int]] = []


@functools.cache
def supported(device: int | None = None) -> bool:
    """Tells whether the GPU can launch dependent kernels early."""
    if INTERPRETED:
        return False
    if _assumed:
        return _assumed[-1] >= 90
    return torch.cuda.is_available() and torch.cuda.get_device_capability(device)[0] >= 9


def options(pdl: bool) -> dict[str, Any]:
    """Returns the launch options to pass beside a kernel's arguments."""
    return {"launch_pdl": True} if pdl else {}
