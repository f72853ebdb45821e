"""A timer for the event loop, exact to tens of microseconds; the loop's own timers round up to milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
from collections.abc import Callable
from typing import Final

_CLOCK_MONOTONIC: Final = 1
_TFD_NONBLOCK: Final = os.O_NONBLOCK
_TFD_CLOEXEC: Final = os.O_CLOEXEC if sys.platform != "win32" else 0
_TFD_TIMER_ABSTIME: Final = 1


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Timer:
    """Calls back once at each armed time, in seconds of `loop.time()`. Arming it again moves the time.

    On Linux it is a timerfd (CLOCK_MONOTONIC, as the loop's own clock), elsewhere `loop.call_at`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None
        self._fd = -1
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
            if self._fd >= 0:
                loop.add_reader(self._fd, self._expired)

    def arm(self, at_s: float) -> None:
        """Calls back at `at_s`, or at once if that is past."""
        if self._fd < 0:
            self.disarm()
            self._handle = self._loop.call_at(at_s, self._callback)
            return
        self._set(max(at_s, 1e-9))  # all zeros would disarm

    def disarm(self) -> None:
        """Does not call back until it is armed again."""
        if self._handle is not None:
            self._handle.cancel()
        if self._fd >= 0:
            self._set(0.0)

    def close(self) -> None:
        """Never calls back again."""
        self.disarm()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _set(self, at_s: float) -> None:
        seconds = int(at_s)
        spec = _Itimerspec(_Timespec(0, 0), _Timespec(seconds, int((at_s - seconds) * 1e9)))
        self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None)

    def _expired(self) -> None:
        with contextlib.suppress(BlockingIOError):  # the timer was armed anew between the wake-up and here
            os.read(self._fd, 8)
            self._callback()
