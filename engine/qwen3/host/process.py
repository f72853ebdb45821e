"""The model's process, as the event loop sees it: started, sent commands, heard and ended."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any, Final

from engine.child import ChildLost, ChildProcess
from engine.qwen3.messages import Event
from engine.qwen3.settings import QwenSettings
from engine.qwen3.sound_message import unpacked

CLOSE_TIMEOUT_S: Final = 5.0
TURN_S: Final = 0.001
"""How long events are handled before the loop's other tasks get their turn, the calls' clock above all. A step of a
full batch sends hundreds of chunks of sound: one costs its listener some microseconds at a call's own rate, and some
tenths of a millisecond where it is resampled."""
ALLOCATOR: Final = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
"""The allocator's setting takes 2.84 GB of the GPU where the default takes 3.06 (0.6B in int8, 16 calls:
`benchmarks.tts_gpu memory`)."""
FRAMEWORKS: Final = {"USE_TF": "0", "USE_FLAX": "0"}
"""Keeps transformers from importing TensorFlow and JAX where they are installed, which costs a start seconds."""
HUB_TOKENS: Final = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""The only keys that the worker gets: it may have to load a model that is not public."""
WORKER: Final = ("-m", "engine.qwen3.worker.main")
"""The arguments that Python is started with."""


def worker_environment() -> dict[str, str]:
    """Returns what the model's process needs in its environment and an administrator has not set there."""
    # With both names set PyTorch would take this one, whatever an administrator says under the other.
    allocator = {} if "PYTORCH_ALLOC_CONF" in os.environ else ALLOCATOR
    defaults = {name: value for name, value in (FRAMEWORKS | allocator).items() if name not in os.environ}
    return defaults | {name: os.environ[name] for name in HUB_TOKENS if name in os.environ}


class ModelProcess(ChildProcess):
    """A process that runs `engine.qwen3.worker.main`. Its callbacks are called on the event loop."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        super().__init__(process)
        self._listening: asyncio.Task[None] | None = None
        self.ready = asyncio.Event()
        """Set when the process is ready, or gone."""

    @classmethod
    async def start(
        cls,
        on_event: Callable[[ModelProcess, Event], None],
        on_exit: Callable[[ModelProcess, int], None],
        command: tuple[str, ...] = WORKER,
    ) -> ModelProcess:
        """Starts a process that imports and waits for `load`; until then it holds nothing of the GPU. It
        calls `on_event` for each event, and `on_exit` with its status when it is gone."""
        self = await cls.spawn(*command, environment=worker_environment())
        self._listening = asyncio.create_task(self._listen(on_event, on_exit))
        return self

    def load(self, settings: QwenSettings) -> None:
        """Has it load the model. This is the first message to it, sent once."""
        self.touch()
        self.send(settings)

    def unpacked(self, payload: bytes) -> Any:
        return unpacked(payload)

    async def close(self, grace_s: float = CLOSE_TIMEOUT_S) -> None:
        """Ends the process and waits until it is gone: all that it held of the GPU is free then."""
        await super().close(grace_s)
        if self._listening is not None:
            await self._listening

    async def _listen(
        self, on_event: Callable[[ModelProcess, Event], None], on_exit: Callable[[ModelProcess, int], None]
    ) -> None:
        turn_ends_s = 0.0
        try:
            while True:
                on_event(self, await self.receive())
                if time.monotonic() >= turn_ends_s:
                    await asyncio.sleep(0)
                    turn_ends_s = time.monotonic() + TURN_S
        except ChildLost as lost:
            on_exit(self, lost.status)
