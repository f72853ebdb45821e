"""Tells another system of calls by POST of JSON: tries again when that fails, and never delays a call."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import aiohttp
import structlog

log = structlog.get_logger(__name__)

RETRY_S: Final = (0.5, 2.0, 10.0)
"""The waits between tries; after the last try the event is given up."""
TIMEOUT_S: Final = 5.0
MAX_PENDING: Final = 1_000


class Webhooks:
    """Sends events to one URL, each in a task of its own, so that a slow receiver delays nothing."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, event: dict[str, Any]) -> None:
        """Sends an event in the background. Does nothing without a URL."""
        if not self._url:
            return
        if len(self._tasks) >= MAX_PENDING:
            log.error("web-hook dropped: too many are waiting", event_type=event.get("type"))
            return
        task = asyncio.get_running_loop().create_task(self._deliver(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, timeout_s: float = TIMEOUT_S) -> None:
        """Waits up to `timeout_s` for what is being sent, then gives up the rest."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self, event: dict[str, Any]) -> None:
        problem = ""
        for wait_s in (*RETRY_S, None):
            try:
                async with (
                    asyncio.timeout(TIMEOUT_S),
                    self._http.post(self._url, json=event, allow_redirects=False) as response,
                ):
                    if response.status < 300:
                        return
                    problem = f"HTTP {response.status}"
                    if 300 <= response.status < 500 and response.status not in (408, 429):
                        break  # the receiver refuses this, however often it is sent
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                problem = str(error) or type(error).__name__
            if wait_s is not None:
                await asyncio.sleep(wait_s)
        log.error("web-hook failed", url=self._url, event_type=event.get("type"), problem=problem)
