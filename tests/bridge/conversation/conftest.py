"""Calls that are ticked by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.bridge.conversation.rig import Rig


@pytest.fixture
async def rigs() -> AsyncIterator[list[Rig]]:
    """Collects the calls that a test makes, ends them, and asserts that nothing of them is left."""
    rigs: list[Rig] = []
    yield rigs
    for rig in rigs:
        rig.call.end("test over")
        await rig.settle()
        assert rig.engine.streams == 0
        assert rig.brain.open == 0
        assert not rig.call._tasks
