"""A recogniser; each test has a server of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.recognition_service import RecognitionService

pytest.importorskip("faster_whisper")


@pytest.fixture
async def recogniser() -> AsyncIterator[RecognitionService]:
    async with RecognitionService() as service:
        yield service
