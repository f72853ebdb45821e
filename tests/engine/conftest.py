"""The speech endpoints on an engine whose sound is known."""

from __future__ import annotations

import pytest

from tests.support.speech_server import speech_server
from tests.support.tone_engine import ToneEngine


@pytest.fixture
def engine():
    return ToneEngine()


@pytest.fixture
async def server(engine, tmp_path):
    async with speech_server(engine, tmp_path) as running:
        yield running
