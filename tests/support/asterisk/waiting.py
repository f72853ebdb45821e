"""Waiting for what the server tells only when asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

ASK_EVERY_S = 0.02


async def eventually(is_so: Callable[[], Awaitable[bool]], timeout_s: float) -> None:
    """Asks until the answer is yes. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not await is_so():  # noqa: ASYNC110 - the far end has no event to wait on
            await asyncio.sleep(ASK_EVERY_S)
