"""One server for all the tests of this folder; fresh clients for each."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.asterisk.ari import Ari
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.talkspurt import CallsApi, Talkspurt, running

GREETING = "Thank you for calling. How can I help you today?"


@pytest.fixture(scope="session")
def talkspurt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talkspurt]:
    with running(tmp_path_factory.mktemp("talkspurt"), GREETING=GREETING) as server:
        yield server


@pytest.fixture(scope="session")
def ari(asterisk: Asterisk) -> Iterator[Ari]:
    with Ari.connected(asterisk) as connection:
        yield connection


@pytest.fixture
async def api(talkspurt: Talkspurt) -> AsyncIterator[CallsApi]:
    async with aiohttp.ClientSession(talkspurt.url) as http:
        yield CallsApi(http)


@pytest.fixture
def call_id() -> str:
    """The id that the dialplan is to give the call."""
    return str(uuid.uuid4())
