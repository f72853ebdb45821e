"""Tells systemd that the server is ready, and, from the calls' clock, that it is alive: the protocol of sd_notify(3).

A server that hangs keeps its callers in silence, for its connections stay open. It also no longer tells that it is
alive, and so systemd ends it, its connections with it, and the dialplan goes on.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Mapping
from typing import Final

from bridge.line.clock import Tick

Notify = Callable[[str], bool]
"""Tells systemd something, and whether that has reached it."""
TOLD: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC")
"""The variables by which systemd tells a service where and how often it is to be told."""


def notifier(environment: Mapping[str, str] = os.environ) -> Notify | None:
    """Returns what sends systemd one line, or None where systemd did not start this process or wants no word of it."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return None
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    path = "\0" + address[1:] if address.startswith("@") else address

    def notify(line: str) -> bool:
        with contextlib.suppress(OSError):  # systemd is busy or gone; the next word may reach it
            sender.sendto(line.encode(), path)
            return True
        return False

    return notify


def watchdog(notify: Notify, environment: Mapping[str, str] = os.environ) -> Tick | None:
    """Returns a tick of the clock that tells systemd often enough that the clock runs; None where it does not watch."""
    limit_s = int(environment.get("WATCHDOG_USEC", "0")) / 1e6
    if not limit_s or environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    due_s = 0.0

    def tick(now_s: float) -> None:
        nonlocal due_s
        if now_s >= due_s:
            due_s = now_s + limit_s / 4
            notify("WATCHDOG=1")

    return tick
