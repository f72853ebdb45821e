"""One server for all the tests of this folder; fresh clients for each."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Generator, Iterator

import aiohttp
import pytest

from bridge.commands.dialplan_options import DialplanOptions, ServerAddress
from bridge.commands.dialplan_text import render_client
from tests.asterisk.ari import Ari
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.talkspurt import CallsApi, Talkspurt, running

GREETING = "Thank you for calling. How can I help you today?"
LOG_LINES = 80


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows with a failed test what Asterisk did last."""
    report = yield
    asterisk = getattr(item, "funcargs", {}).get("asterisk")
    if report.failed and asterisk is not None:
        report.sections.append(("Asterisk's log", "\n".join(asterisk.log.splitlines()[-LOG_LINES:])))
    return report


@pytest.fixture(scope="session")
def talkspurt(asterisk: Asterisk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talkspurt]:
    with running(tmp_path_factory.mktemp("talkspurt"), GREETING=GREETING) as server:
        address = ServerAddress("127.0.0.1", server.http_port, server.audiosocket_port)
        asterisk.may_connect(render_client(DialplanOptions([address], context=f"tests-{server.audiosocket_port}")))
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
