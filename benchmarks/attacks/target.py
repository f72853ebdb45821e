"""What is attacked, and what an attack is."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

KEY: Final = "the-key-of-this-server"


@dataclass(frozen=True, slots=True)
class Target:
    """The addresses of the server under attack; it listens on loopback alone."""

    host: str
    port: int
    """AudioSocket's."""
    http_port: int

    @property
    def http_url(self) -> str:
        """The base of its HTTP interface."""
        return f"http://{self.host}:{self.http_port}"


Answers = Counter[str]
"""How often the attacker was answered in which way: a status, "closed", "reset", "no answer"."""


@asynccontextmanager
async def _no_service() -> AsyncIterator[Mapping[str, str]]:
    yield {}


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack. It ends by itself or is cancelled when its time is up, and counts its answers as they come."""

    name: str
    run: Callable[[Target, Answers], Awaitable[None]]
    least_s: float = 0.0
    """What it needs at least to show what it does."""
    service: Callable[[], AbstractAsyncContextManager[Mapping[str, str]]] = _no_service
    """A service that the server is to use, and the settings that lead there."""
    server: str = "bridge"
    """The module that serves."""
