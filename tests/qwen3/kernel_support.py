"""Where the kernels can run: on a CUDA GPU, or, the cheap ones, in Triton's interpreter on the CPU."""

from __future__ import annotations

import importlib.util
import os

import numpy as np
import torch

CUDA = torch.cuda.is_available()


def _interpreter_works() -> bool:
    try:
        return int(np.zeros(1)) == 0  # type: ignore[call-overload, no-any-return]
    except TypeError:
        return False


if importlib.util.find_spec("triton") is None:
    WHY_NOT = "Triton is not installed"
elif not CUDA and not _interpreter_works():
    WHY_NOT = "there is no CUDA GPU, and Triton's interpreter does not work with this numpy"
else:
    WHY_NOT = ""
if not CUDA:
    os.environ.setdefault("TRITON_INTERPRET", "1")

DEVICE = torch.device("cuda" if CUDA else "cpu")
DTYPE = torch.bfloat16 if CUDA else torch.float32
TOLERANCE = 1e-2 if CUDA else 1e-5
"""Of ‖out − ref‖ / ‖ref‖ against float64: bfloat16 operands and one rounding of the result."""
NEEDS_GPU = "takes minutes in Triton's interpreter: needs a CUDA GPU"


def error(out: torch.Tensor, reference: torch.Tensor) -> float:
    """Relative; NaN where anything was left unwritten."""
    wide = out.double()
    return float((wide - reference).norm() / reference.norm())
