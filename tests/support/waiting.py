"""Waiting for what tells nobody when it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

ASK_EVERY_S = 0.02
PATIENCE_S = 30.0
"""Long enough for a busy machine: only what never comes takes it."""


async def eventually(is_so: Callable[[], Awaitable[bool]], timeout_s: float) -> None:
    """Asks another process until the answer is yes. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not await is_so():  # noqa: ASYNC110 - the far end has no event to wait on
            await asyncio.sleep(ASK_EVERY_S)


async def until(is_so: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Gives the loop its turns until something of this process is so. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not is_so():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.001)
