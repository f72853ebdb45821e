"""Runs `talkspurt` and notes what holds its event loop: `LOOP_WATCH=FILE python -m benchmarks.loop_watch serve`.

FILE gets a JSON object a line, as it goes: each turn of the loop that took long with what ran in it, each collection of
garbage that took long, and every second what ran in it, by name. Wall time beside processor time tells work from
waiting: a turn whose processor time is short was kept from its core, or it waited for something.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
import traceback
from collections import defaultdict
from pathlib import Path
from typing import Any, Final, TextIO

SLOW_TURN_S: Final = 0.008
SLOW_COLLECTION_S: Final = 0.003
SAMPLE_S: Final = 0.004
FRAMES: Final = 12
"""The innermost frames that are kept of a stack."""


def name_of(handle: asyncio.Handle) -> str:
    """Returns what a handle runs: a task by its coroutine."""
    callback = handle._callback  # type: ignore[attr-defined]
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return str(getattr(task.get_coro(), "__qualname__", task.get_coro()))
    return str(getattr(callback, "__qualname__", None) or type(callback).__name__)


class LoopWatch:
    """Stands around every callback, every turn and every collection of garbage."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._turn: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
        self._second: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
        self._second_s = time.monotonic()
        self._began_s = self._began_cpu_s = self._collecting_s = 0.0
        self._collected_s = 0.0
        self._running = ""
        self._running_s = 0.0
        self._samples: list[tuple[float, str, list[str]]] = []
        self._main = threading.get_ident()

    def install(self) -> None:
        """Begins to watch the loop that will run in this thread."""
        gc.callbacks.append(self._collect)
        run = asyncio.Handle._run  # type: ignore[attr-defined]

        def watched(handle: asyncio.Handle) -> None:
            name = name_of(handle)
            self._running, self._running_s = name, time.monotonic()
            try:
                run(handle)
            finally:
                took_s = time.monotonic() - self._running_s
                self._running_s = 0.0
                entry = self._turn[name]
                entry[0] += 1
                entry[1] += took_s
                entry[2] = max(entry[2], took_s)

        asyncio.Handle._run = watched  # type: ignore[attr-defined]
        make = asyncio.SelectorEventLoop.__init__

        def made(loop: Any, *args: Any) -> None:
            make(loop, *args)
            select = loop._selector.select

            def selected(timeout: float | None = None) -> Any:
                self._turn_over(timeout)
                events = select(timeout)
                self._began_s, self._began_cpu_s = time.monotonic(), time.thread_time()
                return events

            loop._selector.select = selected

        asyncio.SelectorEventLoop.__init__ = made  # type: ignore[method-assign, assignment]
        threading.Thread(target=self._sample, daemon=True, name="watch").start()

    def _collect(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_s = time.monotonic()
            return
        took_s = time.monotonic() - self._collecting_s
        self._collected_s += took_s
        if took_s > SLOW_COLLECTION_S:
            self._write(kind="collection", ms=took_s * 1e3, generation=info["generation"], collected=info["collected"])

    def _turn_over(self, timeout: float | None) -> None:
        now_s = time.monotonic()
        took_s = now_s - self._began_s
        if self._began_s and took_s > SLOW_TURN_S:
            ran = sorted(self._turn.items(), key=lambda one: -one[1][1])[:6]
            self._write(
                kind="turn",
                ms=took_s * 1e3,
                cpu_ms=(time.thread_time() - self._began_cpu_s) * 1e3,
                gc_ms=self._collected_s * 1e3,
                ran={name: (int(n), round(all_s * 1e3, 2), round(most * 1e3, 2)) for name, (n, all_s, most) in ran},
                stacks=[(round((at_s - self._began_s) * 1e3, 1), name, stack) for at_s, name, stack in self._samples],
            )
        self._samples.clear()
        self._collected_s = 0.0
        for name, (count, all_s, most_s) in self._turn.items():
            entry = self._second[name]
            entry[0] += count
            entry[1] += all_s
            entry[2] = max(entry[2], most_s)
        self._turn.clear()
        if now_s - self._second_s > 1:
            ran = sorted(self._second.items(), key=lambda one: -one[1][1])[:14]
            self._write(
                kind="second",
                busy_ms=sum(all_s for _, all_s, _ in self._second.values()) * 1e3,
                ran={name: (int(n), round(all_s * 1e3, 1), round(most * 1e3, 1)) for name, (n, all_s, most) in ran},
            )
            self._second.clear()
            self._second_s = now_s

    def _sample(self) -> None:
        """Notes what a callback is at that has run for long."""
        while True:
            time.sleep(SAMPLE_S)
            begun_s, now_s = self._running_s, time.monotonic()
            if begun_s and now_s - begun_s > SAMPLE_S:
                frame = sys._current_frames().get(self._main)
                stack = [f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in traceback.extract_stack(frame)]
                self._samples.append((now_s, self._running, stack[-FRAMES:]))

    def _write(self, **entry: Any) -> None:
        self._out.write(json.dumps({"at_s": round(time.monotonic(), 4), **entry}) + "\n")
        self._out.flush()


def watch() -> None:
    """Watches this process, where LOOP_WATCH names a file."""
    if path := os.environ.get("LOOP_WATCH"):
        LoopWatch(Path(path).open("a")).install()  # noqa: SIM115 (open until the process ends)


if __name__ == "__main__":
    from bridge.__main__ import main

    watch()
    sys.exit(main())
