"""Work that nobody waits for while the server runs, and that gets a little time when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

CLOSE_S: Final = 5.0
"""How long what is at work gets when the process ends."""

Made = TypeVar("Made")


class BackgroundTasks:
    """Tasks at work, kept here because they may outlast whoever began them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Made]) -> asyncio.Task[Made]:
        """Starts the work as a task, which nobody need wait for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self, timeout_s: float = CLOSE_S) -> None:
        """Waits up to `timeout_s` for the tasks at work, then gives them up."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
