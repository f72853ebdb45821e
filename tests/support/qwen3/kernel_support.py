"""Runs kernels on a CUDA GPU or, the cheap ones, in Triton's interpreter on the CPU."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

CUDA = torch.cuda.is_available()
if not CUDA:
    os.environ.setdefault("TRITON_INTERPRET", "1")


def _why_not() -> str:
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed (make test installs it)"
    if CUDA:
        return ""
    import triton

    version = tuple(int(part) for part in triton.__version__.split(".")[:2])
    if version < (3, 9) and np.lib.NumpyVersion(np.__version__) >= "2.4.0":
        return f"Triton {triton.__version__}'s interpreter does not work with numpy {np.__version__}; 3.9's does"
    return ""


WHY_NOT = _why_not()

DEVICE = torch.device("cuda" if CUDA else "cpu")
DTYPE = torch.bfloat16 if CUDA else torch.float32
TOLERANCE = 1e-2 if CUDA else 1e-5
"""The bound of ‖out − ref‖ / ‖ref‖ against float64: bfloat16 operands and one rounding of the result."""
NEEDS_GPU = "takes minutes in Triton's interpreter: needs a CUDA GPU"


def error(out: torch.Tensor, reference: torch.Tensor) -> float:
    """Returns the relative error; NaN where anything was left unwritten."""
    wide = out.double()
    return float((wide - reference).norm() / reference.norm())


class _Watched:
    """Triton's interpreter of loads and stores, which checks every address first."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.spans = np.zeros((0, 2), np.uint64)
        self.accesses = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def load(self, places: Any, mask: Any, other: Any, dtype: Any) -> Any:
        self._check(places, mask, np.dtype(dtype).itemsize)
        return self._inner.load(places, mask, other, dtype)

    def store(self, places: Any, value: Any, mask: Any) -> Any:
        self._check(places, mask, value.dtype.itemsize)
        return self._inner.store(places, value, mask)

    def atomic_rmw(self, how: Any, places: Any, value: Any, mask: Any, order: Any) -> Any:
        self._check(places, mask, value.dtype.itemsize)
        return self._inner.atomic_rmw(how, places, value, mask, order)

    def _check(self, places: Any, mask: Any, size: int) -> None:
        used = np.asarray(places)[np.asarray(mask, bool)].astype(np.uint64)
        self.accesses += used.size
        begin, end = self.spans[:, 0], self.spans[:, 1]
        inside = (used[:, None] >= begin) & (used[:, None] + np.uint64(size) <= end)
        assert inside.any(1).all(), "a kernel reaches beyond the memory of its arguments"


@contextmanager
def within_arguments() -> Iterator[_Watched]:
    """Checks in the interpreter that every address a kernel uses lies within the storage of one of its tensors."""
    from triton.runtime import interpreter

    watched = _Watched(interpreter._interpreter)
    prepare = interpreter.GridExecutor._init_args_hst

    def note(self: Any, args: Any, kwargs: Any) -> Any:
        made = prepare(self, args, kwargs)
        storages = [a.untyped_storage() for a in (*made[0], *made[1].values()) if isinstance(a, torch.Tensor)]
        watched.spans = np.array([(s.data_ptr(), s.data_ptr() + s.nbytes()) for s in storages], np.uint64)
        return made

    interpreter._interpreter, interpreter.GridExecutor._init_args_hst = watched, note
    try:
        yield watched
    finally:
        interpreter._interpreter, interpreter.GridExecutor._init_args_hst = watched._inner, prepare
