"""A bridge's place among several: what it lets the others know, and what it asks."""

from __future__ import annotations

import asyncio

from bridge.cluster.announcements import Announcements
from bridge.cluster.arrivals import Arrivals
from bridge.cluster.call_keeper import CallKeeper
from bridge.cluster.settings import ClusterSettings
from bridge.cluster.shared_calls import SharedCalls, connect
from bridge.conversation.calls import Calls


class Membership:
    """Call `start` once, and `close` after the last call."""

    def __init__(self, shared: SharedCalls, calls: Calls, *, keeps_words: bool = True) -> None:
        self.shared = shared
        self.keeper = CallKeeper(shared, keeps_words=keeps_words)
        self.arrivals = Arrivals(shared, calls)
        self.announcements = Announcements(shared, calls)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Writes calls, and looks where the announced ones are, from now on."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(work) for work in (self.keeper.run(), self.announcements.run())]

    async def close(self) -> None:
        """Writes what is still due, if Redis answers."""
        if self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.keeper.close()
        await self.shared.close()


def ask_redis(settings: ClusterSettings, http_host: str, http_port: int, max_call_s: float) -> SharedCalls | None:
    """Returns what a bridge with these settings shares with others; None where it is alone."""
    if not (redis_url := settings.redis_url.get_secret_value()):
        return None
    return connect(redis_url, settings.bridge_url or http_url(http_host, http_port), max_call_s)


def http_url(host: str, port: int) -> str:
    """Returns the address of a server's HTTP."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
