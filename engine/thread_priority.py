"""Lets a thread come after the calls' clock, which runs in another thread of the same process."""

from __future__ import annotations

import os
import sys
import threading


def lower_priority(niceness: int) -> None:
    """Gives the calling thread at least this niceness, on Linux: elsewhere niceness belongs to the whole process."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(niceness, os.getpriority(os.PRIO_PROCESS, thread)))
