"""The fixtures: the application, and one call in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.fakes import Asterisk
from tests.support.whole_app import Bench, whole_app


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with whole_app() as bench:
        yield bench


@pytest.fixture
async def peer(bench: Bench, request: pytest.FixtureRequest) -> AsyncIterator[Asterisk]:
    """Comes by AudioSocket, unless the test is one of those that are run `by_both_doors`."""
    peer = await (bench.websocket_call() if getattr(request, "param", "") == "WebSocket" else bench.call())
    yield peer
    await peer.close()


@pytest.fixture
def path(peer: Asterisk) -> str:
    """Returns the path of the call."""
    return f"/v1/calls/{peer.id}"
