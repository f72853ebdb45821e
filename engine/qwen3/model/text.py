"""Turns text into the talker's inputs: tokens, their embeddings, and the projection to the talker's width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.qwen3.model.upload import upload
from engine.qwen3.model.weights import Dense

_PROJECTED_AT_ONCE: Final = 8192  # rows: a table's projection then needs some tens of MB beside it


class TextEmbedder:
    """Maps token ids to [N, hidden] on the talker's device."""

    def __init__(self, table: Tensor, first: Dense | None, second: Dense | None, device: torch.device) -> None:
        self._table = table
        self._first = first
        self._second = second
        self._device = device

    @staticmethod
    def of(talker: Any, device: torch.device, where: str) -> TextEmbedder:
        """Takes the table and the projection from upstream's talker. `where` is TEXT_EMBEDDING.

        "host": the table stays in host memory, 622 MB in bfloat16, and a sentence's rows are fetched from it. "gpu":
        the table is projected once and kept on the device, 311 MB for 0.6B and 622 MB for 1.7B.
        """
        table = talker.model.text_embedding.weight.detach()
        projection = talker.text_projection
        first, second = (
            Dense(part.weight.detach().to(device), part.bias.detach().to(device))
            for part in (projection.linear_fc1, projection.linear_fc2)
        )
        if where == "host":
            return TextEmbedder(table.cpu(), first, second, device)
        pieces = [_project(rows.to(device), first, second) for rows in table.split(_PROJECTED_AT_ONCE)]
        return TextEmbedder(torch.cat(pieces), None, None, device)

    def __call__(self, ids: Sequence[int]) -> Tensor:
        at = upload(torch.tensor(ids, dtype=torch.int64), self._table.device)
        rows = upload(self._table[at], self._device)
        if self._first is None or self._second is None:
            return rows
        return _project(rows, self._first, self._second)

    @property
    def device_bytes(self) -> int:
        """The bytes of GPU memory that it takes."""
        parts = [self._table] if self._table.device == self._device else []
        parts += [d.weight for d in (self._first, self._second) if d is not None]
        return sum(part.nbytes for part in parts)


def _project(rows: Tensor, first: Dense, second: Dense) -> Tensor:
    return second(F.silu(first(rows)))


class TextTokenizer:
    """The checkpoint's tokenizer, and the frames that upstream puts around a text."""

    def __init__(self, encode: Callable[[str], list[int]]) -> None:
        """`encode` returns a text's tokens, control tokens in it included."""
        self._ids = encode
        self.role = self._ids("<|im_start|>assistant\n")

    def text(self, text: str) -> list[int]:
        """Returns the tokens of what is to be spoken, as it stands within the assistant's turn."""
        # Tokenized with what comes before and after it, as upstream does, for a merge could cross the border.
        whole = self._ids(f"<|im_start|>assistant\n{text}<|im_end|>\n<|im_start|>assistant\n")
        return whole[len(self.role) : -5]

    def reference(self, text: str) -> list[int]:
        """Returns the tokens of what is said in a recording."""
        return self._ids(f"<|im_start|>assistant\n{text}<|im_end|>\n")[len(self.role) : -2]

    def instruction(self, text: str) -> list[int]:
        """Returns the tokens of how to speak: a turn of its own, read whole."""
        return self._ids(f"<|im_start|>user\n{text}<|im_end|>\n")
