"""One turn of the agent, made from a brain's pieces."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any
from unittest.mock import Mock

import pytest

from bridge.brains.brain import BrainError, Piece
from bridge.conversation.reply import Filler, Reply
from bridge.conversation.trace import TurnTrace


@pytest.mark.parametrize("filler", [Filler(), Filler("One moment.", 60_000)], ids=["without a filler", "with one"])
async def test_a_brain_that_fails_as_its_turn_is_cut_leaves_no_error_behind(filler: Filler) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    for turns in range(6):  # of the event loop, from the failure to the cut
        failing = asyncio.Event()
        making = asyncio.create_task(_say(_fails_after(failing), filler))
        for _ in range(3):
            await asyncio.sleep(0)  # it waits for its brain now
        failing.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        making.cancel()
        await asyncio.wait({making})
        del making
        gc.collect()  # an error that nobody took is told as its task is forgotten
        assert told == [], f"cut {turns} turns after the failure"


async def _fails_after(failing: asyncio.Event) -> AsyncGenerator[Piece]:
    await failing.wait()
    raise BrainError("nothing was said")
    yield ""


async def _say(pieces: AsyncGenerator[Piece], filler: Filler) -> None:
    with suppress(BrainError):
        await Reply(Mock(), TurnTrace(), lambda: 0.0, pieces=pieces, filler=filler).run()
