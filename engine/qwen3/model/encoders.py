"""Upstream's encoders, with which the voices of a Base model are taken from recordings.

They are loaded when the first recording comes, wait in host memory, and are on the device only while they work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Encoders:
    """Used from one thread."""

    def __init__(self, load: Callable[[], Any], device: torch.device) -> None:
        """`load` returns upstream's `Qwen3TTSModel` in host memory."""
        self._load = load
        self._device = device
        self._upstream: Any = None

    def voice(self, sound: NDArray[np.float32], rate_hz: int, text: str | None) -> tuple[Tensor, Tensor | None]:
        """Returns a recording's speaker embedding and, with the text that is said in it, its codes, in host memory."""
        with self._working() as upstream:
            item: Any = upstream.create_voice_clone_prompt(
                (sound, rate_hz), ref_text=text, x_vector_only_mode=text is None
            )[0]
            codes = None if text is None else item.ref_code.to("cpu", torch.int64)
            return item.ref_spk_embedding.cpu(), codes

    @contextmanager
    def _working(self) -> Iterator[Any]:
        if self._upstream is None:
            self._upstream = self._load()
            # The rest of it is spoken with, and has long been read.
            del self._upstream.model.talker, self._upstream.model.speech_tokenizer.model.decoder
        self._move(self._device)
        try:
            yield self._upstream
        finally:
            self._move(torch.device("cpu"))

    def _move(self, device: torch.device) -> None:
        model = self._upstream.model
        model.to(device)
        model.speech_tokenizer.model.to(device)
        model.speech_tokenizer.device = device
