"""One Asterisk, one recogniser, and a server for each test that needs its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.asterisk.conftest import asterisk, installation
from tests.scenes.recogniser import RecognitionService

__all__ = ["asterisk", "installation"]

pytest.importorskip("faster_whisper")


@pytest.fixture
async def recogniser() -> AsyncIterator[RecognitionService]:
    async with RecognitionService() as service:
        yield service
