"""Bridges in this process that share a Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.support.redis_server import RedisServer
from tests.support.whole_app import Bench, whole_app

Start = Callable[..., Any]


@pytest.fixture
async def bridge(redis: RedisServer) -> AsyncIterator[Start]:
    """Starts one more bridge."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Bench:
            return await stack.enter_async_context(whole_app(**{"redis_url": redis.url, **settings}))

        yield start
