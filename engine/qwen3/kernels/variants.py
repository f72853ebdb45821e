"""The ways in which a frame's matrix products can be made, and which of them are tried for a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from engine.qwen3.kernels.linear import Tiling, rows_tiling, slices_tiling


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to make a frame's matrix products: by `_rows` with `size` weights a program, by `_slices` with `size`
    weight rows a program, or by the vendor's library."""

    kind: Literal["rows", "slices", "vendor"]
    size: int = 0
    warps: int = 1
    block_k: int = 0
    stages: int = 1
    block_m: int = 0
    """The batch's rows that a program of `_slices` takes; 0 takes all of them, or 64."""

    def tiling(self, rows: int, inputs: int, outputs: int, gate: bool) -> Tiling:
        if self.kind == "rows":
            return rows_tiling(inputs, gate, self.size, self.warps)
        block_m = self.block_m or rows
        return slices_tiling(block_m, outputs, gate, self.size, self.block_k, self.warps, self.stages)


VENDOR: Final = Variant("vendor")
ROWS: Final = Variant("rows", 4096, 1)
ROWS_2: Final = Variant("rows", 4096, 2)
ROWS_LARGE: Final = Variant("rows", 8192, 2)
SLICES: Final = Variant("slices", 16, 4, 64, 4)
SLICES_LONG: Final = Variant("slices", 16, 4, 128, 3)
SLICES_FEW: Final = Variant("slices", 16, 2, 128, 3)
SLICES_SHARED: Final = Variant("slices", 32, 4, 128, 2, block_m=16)
"""Several programs read the same weights, each for sixteen rows: each reads less, and there are more of them."""


def candidates(rows: int, plain: bool) -> tuple[Variant, ...]:
    """Returns what to measure for a batch, the likeliest winner first. `plain`: weights in the activations' format."""
    if rows == 1:
        return (ROWS,) if plain else (ROWS_2, ROWS_LARGE)
    if rows == 2:
        return (ROWS, ROWS_LARGE) if plain else (ROWS_LARGE, ROWS_2)
    if rows <= 4:
        return (ROWS, VENDOR) if plain else (SLICES, ROWS_LARGE)
    if plain or rows > 64:
        return (VENDOR,)
    if rows <= 16:
        return (SLICES_LONG, SLICES_FEW)
    # The vendor's products want the matrices widened first: more bytes, but matrix units at full speed.
    return (VENDOR, SLICES_SHARED)
