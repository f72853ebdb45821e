"""The language models' matrices in 8 bits: int8 or float8 with a scale a row, or bitsandbytes' LLM.int8.

Only the layers' matrices are converted: they are 95 % of what a frame reads. Embeddings, heads and norms stay as they
are.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import first_line
from engine.qwen3.model.weights import Convert, Dense, Linear

if TYPE_CHECKING:
    from engine.qwen3.settings import QwenSettings


FP8_MAX: Final = 448.0  # the largest float8_e4m3fn
ROWS: Final = 128  # rows of a matrix that are converted at once
# LLM.int8's own threshold: activations above it go through a 16-bit product of their own.
OUTLIER_THRESHOLD: Final = 6.0


@dataclass(frozen=True, slots=True)
class ScaledLinear:
    """out = (x · weightᵀ) × scale + bias. weight [out, in] int8 or float8_e4m3fn, scale [out] float32, bias [out].

    Weight-only: activations keep their precision. This form widens the whole matrix before each product; a kernel that
    reads it as it is saves the bytes.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        # Scaled before the product: float8 and int8 times the scale keep within a 16-bit range, their sums may not.
        wide = (self.weight.to(torch.float32) * self.scale[:, None]).to(x.dtype)
        return F.linear(x, wide, self.bias)

    @property
    def nbytes(self) -> int:
        return self.weight.nbytes + self.scale.nbytes + (0 if self.bias is None else self.bias.nbytes)


class BitsAndBytesLinear:
    """bitsandbytes' LLM.int8: activations in 8 bits too, outliers apart. It waits for the host: not for CUDA graphs."""

    def __init__(self, dense: Dense) -> None:
        bitsandbytes: Any = importlib.import_module("bitsandbytes")
        # The upstream model cannot be quantized as it loads (transformers' search for the head copies the model and
        # fails on it), so each matrix is, once it is packed.
        inner = bitsandbytes.nn.Linear8bitLt(
            dense.weight.shape[1],
            dense.weight.shape[0],
            bias=dense.bias is not None,
            has_fp16_weights=False,
            threshold=OUTLIER_THRESHOLD,
        )
        inner.weight = bitsandbytes.nn.Int8Params(dense.weight.cpu(), requires_grad=False, has_fp16_weights=False)
        if dense.bias is not None:
            inner.bias = torch.nn.Parameter(dense.bias, requires_grad=False)
        self._inner: Any = inner.to(dense.weight.device)

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = self._inner(x)
        return out.to(x.dtype)

    @property
    def nbytes(self) -> int:
        return int(self._inner.weight.data.nbytes) + 4 * int(self._inner.out_features)


def to_int8(linear: Linear) -> Linear:
    """Returns the matrix in int8: symmetric, each row scaled by its largest weight."""
    return _scaled(linear, torch.int8, 127)


def to_fp8(linear: Linear) -> Linear:
    """Returns the matrix in float8_e4m3fn: 3 bits of mantissa, each row's largest weight the largest number."""
    return _scaled(linear, torch.float8_e4m3fn, FP8_MAX)


def _scaled(linear: Linear, dtype: torch.dtype, largest: float) -> Linear:
    assert isinstance(linear, Dense)
    weight = torch.empty(linear.weight.shape, dtype=dtype, device=linear.weight.device)
    scale = torch.empty(len(weight), dtype=torch.float32, device=weight.device)
    # A few rows at a time: whole matrices in float32 would leave holes of their size in memory.
    parts = (torch.split(of, ROWS) for of in (linear.weight, weight, scale))
    for rows, narrow, factor in zip(*parts, strict=True):
        factor.copy_(rows.float().abs().amax(dim=1).clamp(min=1e-12) / largest)
        wide = rows.float() / factor[:, None]
        narrow.copy_(wide.round() if dtype == torch.int8 else wide)
    return ScaledLinear(weight, scale, linear.bias)


def to_bitsandbytes(linear: Linear) -> Linear:
    """Returns the matrix as bitsandbytes' LLM.int8."""
    assert isinstance(linear, Dense)
    return BitsAndBytesLinear(linear)


def conversion(settings: QwenSettings, device: torch.device) -> tuple[Convert | None, str, list[str]]:
    """Returns the converter for QUANTIZE, or None, its name, and warnings that say why it is not another."""
    if settings.quantize == "none":
        return None, "none", []
    if settings.quantize == "fp8":
        why_not = _no_fp8(device)
        if why_not:
            return None, "none", [f"QUANTIZE=fp8: {why_not}; not quantized"]
        return to_fp8, "fp8", []
    if settings.int8_backend == "bitsandbytes":
        why_not = _no_bitsandbytes(settings, device)
        if not why_not:
            return to_bitsandbytes, "int8 (bitsandbytes)", []
        return to_int8, "int8", [f"INT8_BACKEND=bitsandbytes: {why_not}; using weight_only"]
    return to_int8, "int8", []


def _no_fp8(device: torch.device) -> str | None:
    if device.type != "cuda":
        return "it needs a CUDA device"
    major, minor = torch.cuda.get_device_capability(device)
    return None if (major, minor) >= (8, 9) else f"this GPU is sm_{major}{minor}; float8 needs sm_89 or newer"


def _no_bitsandbytes(settings: QwenSettings, device: torch.device) -> str | None:
    if settings.cuda_graphs and device.type == "cuda":
        return "it waits for the host, which CUDA graphs cannot (CUDA_GRAPHS=false allows it)"
    dtype = getattr(torch, settings.dtype)
    try:
        trial = BitsAndBytesLinear(Dense(torch.eye(64, device=device, dtype=dtype)))
        trial(torch.ones(1, 64, device=device, dtype=dtype))
    except (ImportError, OSError, RuntimeError, AttributeError, NotImplementedError) as error:
        return first_line(error)
    return None
