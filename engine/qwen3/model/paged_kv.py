"""The talker's keys and values in pages that a slot takes as its sentence grows: memory follows what is spoken."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Final

import torch
from torch import Tensor

from engine.qwen3.model.weights import StackWeights

PAGE: Final = 64
"""The positions of a page: 5 s of speech, 7 MiB of 0.6B. The kernels read up to so many positions at a time."""
UNIT: Final = 16
"""The elements in which the table counts: a kernel then knows that a page begins where 16 bytes can be read at once."""
PAGES_A_SLOT: Final = 2
"""The pages there are from the start for each slot: a named voice's prompt and 9 s of speech."""
GROWN_PAGES: Final = 8
"""The fewest pages in a piece of memory, which is added and given back as a whole: 2 MiB of each layer."""


@dataclass(frozen=True, slots=True)
class Page:
    """The keys and values of PAGE positions of one slot."""

    kv: Tensor  # [layers, 2, kv_heads, PAGE, head_dim]
    at: int
    """How many UNITs behind the cache's first page it begins: the same distance in every layer."""
    piece: int
    """The number of the piece of memory that it lies in."""


class PagedKv:
    """The pages of every slot, and the table by which the kernels find them. Used from one thread, on one stream.

    A place of the table that has no page leads to the scratch page: what padding writes there nobody reads.
    """

    def __init__(self, stack: StackWeights, slots: int, max_positions: int) -> None:
        """slots: with the scratch slot, which is the last one."""
        self.max_positions = max_positions
        self._pages_a_piece = max(GROWN_PAGES, slots // 8)
        self._shape = (len(stack.layers), 2, self._pages_a_piece, stack.kv_heads, PAGE, stack.head_dim)
        self._like = stack.norm
        self._pieces: dict[int, Tensor] = {}
        self._free: list[Page] = []
        self._held: dict[int, list[Page]] = {}
        longest = -(-max_positions // PAGE)
        self._first_pieces = -(-((slots - 1) * min(PAGES_A_SLOT, longest) + 1) // self._pages_a_piece)
        for _ in range(self._first_pieces):
            self._add()
        self._scratch = self._free.pop()
        self.table = torch.full((slots, longest), self._scratch.at, dtype=torch.int64, device=self._like.device)
        """[slots, pages of the longest sentence] int64: how many UNITs behind `layer` each page begins."""

    def layer(self, number: int) -> Tensor:
        """Returns a layer's part of the first piece, [2, pages, kv_heads, PAGE, head_dim]: `table` counts from it."""
        return self._pieces[0][number]

    @property
    def pages(self) -> int:
        """How many pages there are, those of no slot counted."""
        return len(self._pieces) * self._pages_a_piece

    @property
    def nbytes(self) -> int:
        return sum(piece.nbytes for piece in self._pieces.values()) + self.table.nbytes

    def holds(self, slot: int, positions: int) -> bool:
        """Tells whether there is room for a slot's first so many positions already."""
        return len(self._held.get(slot, ())) * PAGE >= positions

    def hold(self, slot: int, positions: int) -> bool:
        """Makes room for a slot's first so many positions. Returns False where there is no memory for them."""
        held = self._held.get(slot)
        if held is None:
            held = self._held[slot] = []
            self.table[slot].fill_(self._scratch.at)  # whose pages it leads to otherwise may be another slot's by now
        while len(held) * PAGE < positions:
            if not self._free:
                try:
                    self._add()
                except torch.OutOfMemoryError:
                    return False
            page = self._free.pop()
            # Not `table[...] = number`, which would wait for the device.
            self.table[slot, len(held)].fill_(page.at)
            held.append(page)
        return True

    def release(self, slot: int) -> None:
        """Takes a slot's pages back. Work on its way may still write there; all that comes later is after it."""
        self._free += self._held.pop(slot, [])

    def shrink(self) -> bool:
        """Lets go of memory that was added later and of which no slot holds a page. Tells whether there was any."""
        free = Counter(page.piece for page in self._free)
        gone = {each for each in self._pieces if each >= self._first_pieces and free[each] == self._pages_a_piece}
        self._free = [page for page in self._free if page.piece not in gone]
        for piece in gone:
            del self._pieces[piece]
        return bool(gone)

    def read(self, slot: int, positions: int) -> Tensor:
        """Returns a copy of a slot's first positions, [layers, 2, kv_heads, positions, head_dim]."""
        return torch.cat([page.kv for page in self._held[slot]], dim=3)[:, :, :, :positions].clone()

    def write(self, slot: int, prefix: Tensor) -> None:
        """Puts what `read` gave at the beginning of a slot, which holds the room for it."""
        for number, page in enumerate(self._held[slot]):
            part = prefix[:, :, :, number * PAGE : (number + 1) * PAGE]
            page.kv[:, :, :, : part.shape[3]].copy_(part)

    def _add(self) -> None:
        """Adds a piece of memory. It is zeros at first: padding reads it, and nothing times what is no number is none.

        All pieces are alike, a layer's pages side by side in each, so that one table serves all layers.
        """
        memory = torch.zeros(self._shape, dtype=self._like.dtype, device=self._like.device)
        piece = next(number for number in count() if number not in self._pieces)
        self._pieces[piece] = memory
        begin = (memory.data_ptr() - self._pieces[0].data_ptr()) // (memory.element_size() * UNIT)
        for number in reversed(range(self._pages_a_piece)):
            at = begin + number * memory.stride(2) // UNIT
            self._free.append(Page(memory[:, :, number], at, piece))
