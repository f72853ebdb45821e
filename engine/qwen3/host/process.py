"""The model's process, as the event loop sees it: started, spoken to, listened to, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from engine.qwen3.messages import LENGTH, Command, Event, pack, unpack
from engine.qwen3.settings import QwenSettings

CLOSE_TIMEOUT_S: Final = 5.0
EVENTS_A_TURN: Final = 4
"""Of those that lie ready, then the loop's others are served: the calls' clock above all. A step of a full batch sends
hundreds of pieces of sound, and each costs its listener some tenths of a millisecond, resampling and all."""
ALLOCATOR: Final = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
"""Takes 2.84 GB of the GPU where the default takes 3.06 (0.6B in int8, 16 calls: `benchmarks.tts_gpu memory`)."""
FRAMEWORKS: Final = {"USE_TF": "0", "USE_FLAX": "0"}
"""transformers imports TensorFlow and JAX wherever they are installed: seconds of a start, for nothing."""
WORKER: Final = ("-P", "-m", "engine.qwen3.worker.main")
"""What Python is started with."""


def worker_environment() -> dict[str, str]:
    """This process's environment and what the model's needs beside; what an administrator says goes before ours."""
    root = str(Path(__file__).parents[3])
    # With both names set PyTorch would take this one, whatever an administrator says under the other.
    allocator = {} if "PYTORCH_ALLOC_CONF" in os.environ else ALLOCATOR
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return FRAMEWORKS | allocator | os.environ | {"PYTHONPATH": path}


class ModelProcess:
    """One `engine.qwen3.worker.main`. `on_event` and, at its end, `on_exit` are called on the event loop."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._listening: asyncio.Task[None] | None = None
        self._heard_at = asyncio.get_running_loop().time()
        self.ready = asyncio.Event()
        """Set when it is ready, or gone."""

    @classmethod
    async def start(
        cls,
        on_event: Callable[[ModelProcess, Event], None],
        on_exit: Callable[[ModelProcess, int], None],
        command: tuple[str, ...] = WORKER,
    ) -> ModelProcess:
        """One that has loaded nothing yet and holds nothing of the GPU; it imports, and waits for `load`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=worker_environment(),
        )
        self = cls(process)
        self._listening = asyncio.create_task(self._listen(on_event, on_exit))
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def gone(self) -> bool:
        return self._process.returncode is not None

    @property
    def silent_s(self) -> float:
        """Seconds since it last said anything."""
        return asyncio.get_running_loop().time() - self._heard_at

    def touch(self) -> None:
        """Counts its silence from now: before, there was nothing to say."""
        self._heard_at = asyncio.get_running_loop().time()

    def load(self, settings: QwenSettings) -> None:
        """The first that it is told, and once."""
        self.touch()
        self._write(settings)

    def send(self, command: Command) -> None:
        """Never blocks; a process that is gone is told by `on_exit`."""
        self._write(command)

    def kill(self) -> None:
        """Ends it at once; `on_exit` follows."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        """Ends it, and waits until it is gone: all that it held of the GPU is free then."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
        await self._process.wait()
        if self._listening is not None:
            await self._listening

    def _write(self, message: Any) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._process.stdin.write(pack(message))

    async def _listen(
        self, on_event: Callable[[ModelProcess, Event], None], on_exit: Callable[[ModelProcess, int], None]
    ) -> None:
        assert self._process.stdout is not None
        heard = 0
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                (length,) = LENGTH.unpack(await self._process.stdout.readexactly(LENGTH.size))
                event = unpack(await self._process.stdout.readexactly(length))
                self.touch()
                on_event(self, event)
                heard += 1
                if heard % EVENTS_A_TURN == 0:
                    await asyncio.sleep(0)
        on_exit(self, await self._process.wait())
