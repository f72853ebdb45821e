"""What a server costs while it is attacked: the memory and the processor time of it and its children."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.machine import memory_bytes

LOOK_EVERY_S: Final = 0.02
GROWTH_BYTES: Final = 2**30
"""An attack is stopped when the server has grown by so much."""
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class Watch:
    """Looks at a server's processes until it is closed."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._since_s = time.monotonic()
        self._before_cpu_s = self._cpu_s()
        self._before_waited_s = self._waited_s()
        self.before_bytes = self.peak_bytes = self._bytes()
        self.trouble = ""
        """Why the attack has to end."""
        self.troubled = asyncio.Event()
        self._looking = asyncio.create_task(self._look())

    def close(self) -> None:
        """Look no more."""
        self._looking.cancel()

    def cpu_s(self) -> float:
        """Processor seconds since the start; of children that have ended too."""
        return self._cpu_s() - self._before_cpu_s

    def waited_share(self) -> float:
        """Share of the time in which the server could have gone on and no core was free for it."""
        return (self._waited_s() - self._before_waited_s) / (time.monotonic() - self._since_s)

    async def _look(self) -> None:
        while not self.trouble:
            await asyncio.sleep(LOOK_EVERY_S)
            now_bytes = self._bytes()
            self.peak_bytes = max(self.peak_bytes, now_bytes)
            if not now_bytes:
                self.trouble = "the server died"
            elif now_bytes - self.before_bytes > GROWTH_BYTES:
                self.trouble = f"stopped: the server grew by {GROWTH_BYTES / 2**30:.0f} GiB"
        self.troubled.set()

    def _bytes(self) -> int:
        total = 0
        for pid in _family(self._pid):
            with contextlib.suppress(OSError):  # it has just ended
                total += memory_bytes(pid)
        return total

    def _cpu_s(self) -> float:
        """Of living processes their own time and that of children whose end they have noted."""
        ticks = 0
        for pid in _family(self._pid):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += sum(map(int, fields[11:15]))
        return ticks / _TICKS_PER_S

    def _waited_s(self) -> float:
        """Of the thread that runs the event loop."""
        try:
            return int(Path(f"/proc/{self._pid}/task/{self._pid}/schedstat").read_text().split()[1]) / 1e9
        except OSError:
            return 0.0


def _family(pid: int) -> Iterator[int]:
    """The process and all that it has started; nothing of those that are gone by now."""
    try:
        children = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return
    yield pid
    for child in " ".join(children).split():
        yield from _family(int(child))
