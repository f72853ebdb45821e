"""Compiles kernels ahead of their first launch, many at once: a cold start is made of little else.

Within `compiling`, launches only compile their kernels, in threads: Triton's passes and the assembler, most of the
work, run without Python's lock. So does the C compiler that makes a kernel's launcher, which Triton would call at the
first launch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

import torch

from engine.qwen3.kernels.pdl import INTERPRETED

THREADS: Final = 16
"""The most threads; more would wait for Python's lock."""

_seen: ContextVar[set[Hashable] | None] = ContextVar("compiled ahead", default=None)
_compiled: ContextVar[list[Any] | None] = ContextVar("kernels compiled ahead", default=None)


def launch(kernel: Any, grid: tuple[int, ...]) -> Callable[..., None]:
    """Returns `kernel[grid]`, or within `compiling` a function that only compiles it for such arguments."""
    seen = _seen.get()
    if seen is None:
        run: Callable[..., None] = kernel[grid]
        return run

    def compile_only(*args: Any, **options: Any) -> None:
        # A frame launches the same kernel hundreds of times.
        case = (id(kernel), *map(_kind, args), *sorted(options.items()))
        if case in seen:
            return
        seen.add(case)
        if not INTERPRETED:
            compiled = kernel.warmup(*args, grid=grid, **options)
            if (kept := _compiled.get()) is not None and compiled is not None:
                kept.append(compiled)

    return compile_only


@contextmanager
def compiling(launchers: bool = True) -> Iterator[set[Hashable]]:
    """Compiles what is launched within, and at the end all of it is compiled. Yields the cases met.

    `launchers` false makes none of the programs that launch the kernels, which takes CUDA's driver.
    """
    seen: set[Hashable] = set()
    compiled: list[Any] = []
    before, kept = _seen.set(seen), _compiled.set(compiled)
    try:
        with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1), "compile") as pool:
            with _asynchronously(pool):
                yield seen
            device = torch.cuda.current_device() if torch.cuda.is_available() else None
            finish: Callable[[Any], Any] = _compiled_kernel
            if launchers:
                finish = partial(_make_launcher, device)
            list(pool.map(finish, compiled))
    finally:
        _seen.reset(before)
        _compiled.reset(kept)


def _make_launcher(device: int | None, compiled: Any) -> None:
    if device is not None:
        torch.cuda.set_device(device)  # a thread has its own
    _compiled_kernel(compiled).run  # noqa: B018 (a property: it makes the launcher and loads the kernel)


def _compiled_kernel(compiled: Any) -> Any:
    """Returns the kernel: what was compiled in the pool is a promise of it."""
    return compiled.result() if hasattr(compiled, "result") else compiled


def _asynchronously(pool: ThreadPoolExecutor) -> Any:
    """Returns Triton's way of compiling in an executor; the versions that lack it compile one after the other."""
    if INTERPRETED:
        return nullcontext()
    try:
        from triton.runtime._async_compile import AsyncCompileMode
    except ImportError:
        return nullcontext()
    return AsyncCompileMode(pool)


def _kind(argument: Any) -> Hashable:
    """Returns all that Triton may distinguish of an argument, or more."""
    if isinstance(argument, torch.Tensor):
        return argument.dtype, argument.data_ptr() % 16 == 0
    if isinstance(argument, int):
        return argument == 1, argument % 16 == 0, -(2**31) <= argument < 2**31
    return type(argument).__name__
