"""Shows the other bridges that this one lives: that its event loop runs, not only that its ports are open."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from bridge.cluster.shared_calls import NotReached, SharedCalls

EVERY_S: Final = 0.5
LASTS_S: Final = 2.0
"""How long a sign counts. HAProxy takes longer to find that a bridge hangs, so that its calls are asked for later."""


async def show_life(shared: SharedCalls) -> None:
    """Shows it again and again, until it is cancelled."""
    while True:
        with suppress(NotReached):
            await shared.show_life(LASTS_S)
        await asyncio.sleep(EVERY_S)
