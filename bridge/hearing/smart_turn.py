"""Tells by the sound of a caller's words whether they have ended: Pipecat's smart-turn, off the event loop.

The model (BSD-2-Clause, 8.7 MB) lies in the wheel of `pipecat-ai`. It is read from the files of that package, which is
installed without its dependencies and never imported.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.thread_priority import lower_priority

RATE_HZ: Final = 16_000
SECONDS: Final = 8
"""How much audio the model sees; it ends with the pause that it is asked about."""
NICENESS: Final = 5
MAX_BATCH: Final = 4
"""The number of callers judged at once: one caller takes some 60 ms of a core, and each more nearly as much."""
FFT, HOP, MELS = 400, 160, 80
INSTALL: Final = "pip install --no-deps pipecat-ai==1.14.0"

Floats = NDArray[np.float32]


def weights() -> Path | None:
    """Returns the model's file; None where the package is not installed."""
    spec = importlib.util.find_spec("pipecat")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
    return path if path.exists() else None


class SmartTurn:
    """The model, shared by every call; it runs in a thread of its own, below the calls' clock."""

    def __init__(self) -> None:
        """Loads the model. Raises OSError if it is not installed."""
        path = weights()
        if path is None:
            raise OSError(f"the model of the end of a turn is not installed: {INSTALL}")
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it phones home, and reads this only at its import
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._thread = ThreadPoolExecutor(1, "smart-turn", lower_priority, (NICENESS,))
        self._waiting: list[tuple[bytes, asyncio.Future[float]]] = []
        self._task: asyncio.Task[None] | None = None

    async def probability(self, pcm: bytes) -> float:
        """Returns how likely the caller has ended, from 16 kHz 16-bit mono audio that ends in a pause.

        Raises what the model raises.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[float] = loop.create_future()
        self._waiting.append((pcm[-SECONDS * RATE_HZ * 2 :], answer))
        if self._task is None:
            self._task = loop.create_task(self._judge_all())
        return await answer

    async def close(self) -> None:
        """Stops; whoever waits is left without an answer."""
        waiting, self._waiting = self._waiting, []
        for _, answer in waiting:
            answer.cancel()
        if self._task is not None:
            await self._task
        self._thread.shutdown()

    async def _judge_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                asked = [(pcm, answer) for pcm, answer in batch if not answer.done()]
                if not asked:
                    continue
                try:
                    chances = await loop.run_in_executor(self._thread, self._infer, [pcm for pcm, _ in asked])
                except Exception as error:  # whoever asked must not wait for ever
                    for _, answer in asked:
                        if not answer.done():
                            answer.set_exception(error)
                    continue
                for (_, answer), chance in zip(asked, chances, strict=True):
                    if not answer.done():
                        answer.set_result(chance)
        finally:
            self._task = None

    def _infer(self, audio: list[bytes]) -> list[float]:
        (chances,) = self._session.run(None, {"input_features": np.stack([features(pcm) for pcm in audio])})
        return [float(chance) for chance in np.ravel(chances)]


def features(pcm: bytes) -> Floats:
    """Returns what the model sees of 16 kHz audio: the log-mel spectrum of Whisper, of the last SECONDS."""
    samples = np.frombuffer(pcm, np.int16).astype(np.float32) / 32768
    audio = np.zeros(SECONDS * RATE_HZ, np.float32)
    missing = max(len(audio) - len(samples), 0)
    audio[missing:] = samples[-len(audio) :]
    audio = (audio - audio.mean()) / np.sqrt(audio.var() + np.float32(1e-7))
    padded = np.pad(audio, FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP][:-1]
    same = max((missing - FFT // 2) // HOP, 0)  # the frames before the audio are all alike, and most of them
    spectrum = np.abs(np.fft.rfft(frames[same:] * np.hanning(FFT + 1)[:-1].astype(np.float32))) ** 2
    spectrum = np.concatenate((np.repeat(spectrum[:1], same, axis=0), spectrum))
    loudness = np.log10(np.maximum(spectrum @ mel_filters(), 1e-10)).T
    seen: Floats = ((np.maximum(loudness, loudness.max() - 8) + 4) / 4).astype(np.float32)
    return seen


@cache
def mel_filters() -> NDArray[np.float64]:
    """Returns the weight of each frequency in each of MELS bands, on Slaney's scale: even to 1 kHz, then by ratio."""
    step = np.log(6.4) / 27
    mels = np.linspace(0, 15 + np.log(RATE_HZ / 2000) / step, MELS + 2)
    edges_hz = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(step * (mels - 15)))
    bins_hz = np.linspace(0, RATE_HZ / 2, FFT // 2 + 1)[:, None]
    low, middle, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising, falling = (bins_hz - low) / (middle - low), (high - bins_hz) / (high - middle)
    weights: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
    return weights
