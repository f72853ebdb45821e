"""torch.compile for the plain layers, with proof: dynamo counts the graphs that it made, and a failure is told.

Compiling the upstream package's modules in place compiles nothing, for `generate` keeps calling the originals; and a
whole unrolled frame takes minutes. So one function, the layer, is compiled, and every layer runs through it.
"""

from __future__ import annotations

from typing import Any

import structlog
import torch

from engine.errors import first_line
from engine.qwen3.model.layers import run_layer
from engine.qwen3.settings import QwenSettings

log = structlog.get_logger(__name__)


class CompiledLayer:
    """`run_layer`, compiled at its first calls, or as it is where that fails. Used from one thread."""

    def __init__(self, mode: str, backend: str = "inductor") -> None:
        """mode is torch.compile's; only inductor has modes."""
        options: dict[str, Any] = {"mode": mode} if backend == "inductor" else {}
        self._graphs_before = _graphs()
        # Lengths and batches that change become symbols after the second one, so no live call waits for a compilation.
        self._layer = torch.compile(run_layer, backend=backend, fullgraph=True, **options)
        self.error: str | None = None

    def __call__(self, *args: Any) -> torch.Tensor:
        if self.error is None:
            try:
                out: torch.Tensor = self._layer(*args)
                return out
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                # A failure while compiling leaves the cache unwritten; one while running would come again below.
                self.error = f"{type(error).__name__}: {first_line(error)}" if str(error).strip() else first_line(error)
                log.warning("torch.compile failed, going on without", error=self.error)
        return run_layer(*args)

    @property
    def graphs(self) -> int:
        """How many graphs dynamo has made since this object was made, by its own count."""
        return _graphs() - self._graphs_before

    def warning(self) -> str | None:
        """Returns why nothing is compiled after warming up, or None."""
        if self.error is not None:
            return f"TORCH_COMPILE: {self.error}; not compiled"
        if self.graphs == 0:
            return "TORCH_COMPILE: dynamo made no graph; not compiled"
        return None


def compile_mode(settings: QwenSettings) -> str:
    """Returns TORCH_COMPILE_MODE without inductor's CUDA graphs, which refuse a layer that writes into its inputs."""
    modes = {"max-autotune": "max-autotune-no-cudagraphs", "reduce-overhead": "default"}
    return modes.get(settings.torch_compile_mode, settings.torch_compile_mode)


def _graphs() -> int:
    # Imported here: it takes two seconds, and nobody needs it whose layers are not compiled.
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])
