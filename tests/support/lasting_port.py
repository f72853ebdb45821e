"""Ports for servers that are killed and come back at the same place."""

from __future__ import annotations

import socket
from random import SystemRandom
from typing import Final

RANGE: Final = range(20_000, 32_000)
"""Below what Linux gives to outgoing connections: one of those could have the port while its server is away."""
TRIES: Final = 100


def lasting_port() -> int:
    """Returns a port of loopback that nobody holds, and that no outgoing connection will hold either."""
    for _ in range(TRIES):
        port = SystemRandom().choice(RANGE)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"{TRIES} ports of {RANGE} were all taken")
