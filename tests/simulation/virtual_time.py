"""Has the product read the simulation's clock wherever it reads the time, and set its own timer on it."""

from __future__ import annotations

import asyncio
import inspect
import ssl
import sys
import time
from asyncio import _get_running_loop as running_loop
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final
from unittest.mock import patch

from bridge.conversation.agents import agent
from bridge.hearing.asr.openai_realtime import OpenAiRealtime
from bridge.line import server
from tests.simulation.virtual_loop import VirtualLoop

CHUNK_MS: Final = 100
"""How much sound a message to the recogniser has; it tells what the plan says and hears nothing."""


class LoopTimer:
    """`bridge.line.timer.Timer` as it is where the system has no timerfd."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, at_s: float) -> None:
        self.close()
        self._handle = self._loop.call_at(at_s, self._callback)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


def _clock_over(real: Callable[[], float], name: str) -> Callable[[], float]:
    """Returns a clock that reads a clock of the loop that runs; without one, it is the real one."""
    read = getattr(VirtualLoop, name)

    def now_s() -> float:
        loop = running_loop()
        return real() if loop is None else read(loop)

    return now_s


@contextmanager
def virtual_time() -> Iterator[None]:
    """Within it, `bridge` and `engine` know no other time than that of the loop in which they run."""
    read = {time.monotonic: "time", time.perf_counter: "time", time.time: "wall_time"}
    clocks = {real: _clock_over(real, name) for real, name in read.items()}
    changed = list(_read_at_definition(clocks))
    for function, place, real in changed:
        _set_default(function, place, clocks[real])
    try:
        with (
            patch.multiple(time, **{real.__name__: clock for real, clock in clocks.items()}),
            patch.object(server, "Timer", LoopTimer),
            # These three only save time: what is always the same is made once for all runs.
            patch.object(ssl, "create_default_context", cache(ssl.create_default_context)),
            patch.object(agent, "load_script", cache(agent.load_script)),
            patch.object(OpenAiRealtime, "chunk_ms", CHUNK_MS),
        ):
            yield
    finally:
        for function, place, default in changed:
            _set_default(function, place, default)


def _read_at_definition(clocks: Collection[Any]) -> Iterator[tuple[Any, str | int, Any]]:
    """Yields every function whose parameter has a clock for its default, with the parameter's place."""
    for module in [module for name, module in sys.modules.items() if name.split(".")[0] in ("bridge", "engine")]:
        for owner in (module, *filter(inspect.isclass, vars(module).values())):
            for function in filter(inspect.isfunction, vars(owner).values()):
                places = [*(function.__kwdefaults__ or {}).items(), *enumerate(function.__defaults__ or ())]
                for place, default in places:
                    if any(default is clock for clock in clocks):
                        yield function, place, default


def _set_default(function: Any, place: str | int, default: Any) -> None:
    if isinstance(place, str):
        function.__kwdefaults__[place] = default
    else:
        defaults = list(function.__defaults__)
        defaults[place] = default
        function.__defaults__ = tuple(defaults)
