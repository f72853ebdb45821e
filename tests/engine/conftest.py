"""The speech endpoints on an engine whose sound is known."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.speech_server import speech_server
from tests.support.tone_engine import ToneEngine


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged meanwhile."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def engine():
    return ToneEngine()


@pytest.fixture
async def server(engine, tmp_path):
    async with speech_server(engine, tmp_path) as running:
        yield running
