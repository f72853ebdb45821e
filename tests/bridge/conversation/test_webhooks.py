"""Web-hooks are delivered, tried again, given up, and ended with the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bridge.conversation import webhooks as module
from bridge.conversation.webhooks import Webhooks
from tests.support.serving import serving


class Receiver:
    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.events: asyncio.Queue[dict[str, object]] = asyncio.Queue()

    async def handle(self, request: web.Request) -> web.Response:
        self.events.put_nowait(await request.json())
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@asynccontextmanager
async def hooks(receiver: Receiver) -> AsyncIterator[Webhooks]:
    app = web.Application()
    app.router.add_post("/", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        webhooks = Webhooks(f"http://127.0.0.1:{runner.addresses[0][1]}/", http)
        yield webhooks
        await webhooks.close(0.1)
    await runner.cleanup()


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", (0.001, 0.001, 0.001))


async def test_it_is_sent_again_until_it_is_taken() -> None:
    receiver = Receiver(500, 503)
    async with hooks(receiver) as webhooks:
        webhooks.send({"type": "call.started"})
        for _ in range(3):
            assert await receiver.events.get() == {"type": "call.started"}
        await asyncio.gather(*webhooks._tasks)
        assert receiver.events.empty()


async def test_it_is_given_up_after_the_last_try_and_at_once_where_it_is_not_wanted() -> None:
    receiver = Receiver(500, 500, 500, 500, 404)
    async with hooks(receiver) as webhooks:
        webhooks.send({"n": 1})
        await asyncio.gather(*webhooks._tasks)
        assert receiver.events.qsize() == 4
        webhooks.send({"n": 2})
        await asyncio.gather(*webhooks._tasks)
        assert receiver.events.qsize() == 5


async def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with serving(handle) as url, aiohttp.ClientSession() as http:
        webhooks = Webhooks(url, http)
        webhooks.send({"type": "call.started"})
        await asyncio.gather(*webhooks._tasks)
    assert asked == ["/tool"]


async def test_what_waits_for_a_receiver_that_does_not_answer_is_bounded() -> None:
    gone = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        await gone.wait()
        return web.Response()

    async with serving(handle) as url, aiohttp.ClientSession() as http:
        webhooks = Webhooks(url, http)
        with capture_logs() as lines:
            for _ in range(100):
                webhooks.send({"type": "call.ended", "transcript": "x" * 2**20})
        assert len(webhooks._tasks) == module.MAX_PENDING_BYTES // 2**20 - 1
        assert {line["event"] for line in lines} == {"web-hook dropped: too many are waiting"}
        gone.set()
        await asyncio.gather(*webhooks._tasks)
        assert webhooks._pending_bytes == 0


async def test_nothing_is_left_when_it_closes() -> None:
    async with aiohttp.ClientSession() as http:
        webhooks = Webhooks("http://127.0.0.1:9/", http)
        webhooks.send({})
        await webhooks.close(0.01)
        assert not webhooks._tasks
        Webhooks("", http).send({})
