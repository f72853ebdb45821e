"""Web-hooks are delivered, tried again, given up, and ended with the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
import standardwebhooks
from aiohttp import web
from structlog.testing import capture_logs

from bridge.config import WrongSetting, load_settings
from bridge.conversation import webhooks as module
from bridge.conversation.webhooks import Webhooks
from tests.support.serving import serving


class Receiver:
    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.events: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self.requests: list[tuple[bytes, dict[str, str]]] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((await request.read(), {name.lower(): value for name, value in request.headers.items()}))
        self.events.put_nowait(await request.json())
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@asynccontextmanager
async def hooks(receiver: Receiver, secret: str = "") -> AsyncIterator[Webhooks]:
    app = web.Application()
    app.router.add_post("/", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        webhooks = Webhooks(f"http://127.0.0.1:{runner.addresses[0][1]}/", http, secret)
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
        await webhooks.close(30)
        assert receiver.events.empty()


async def test_it_is_given_up_after_the_last_try_and_at_once_where_it_is_not_wanted() -> None:
    receiver = Receiver(500, 500, 500, 500, 404)
    async with hooks(receiver) as webhooks:
        webhooks.send({"n": 1})
        await webhooks.close(30)
        assert receiver.events.qsize() == 4
        webhooks.send({"n": 2})
        await webhooks.close(30)
        assert receiver.events.qsize() == 5


async def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with serving(handle) as url, aiohttp.ClientSession() as http:
        webhooks = Webhooks(url, http)
        webhooks.send({"type": "call.started"})
        await webhooks.close(30)
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
        await webhooks.close(30)
        assert webhooks._pending_bytes == 0


async def test_nothing_is_left_when_it_closes() -> None:
    async with aiohttp.ClientSession() as http:
        webhooks = Webhooks("http://127.0.0.1:9/", http)
        webhooks.send({})
        await webhooks.close(0.01)
        assert not webhooks._tasks
        Webhooks("", http).send({})


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_a_signed_event_is_what_the_receivers_library_takes_and_a_changed_one_is_not() -> None:
    receiver = Receiver(500)
    async with hooks(receiver, SECRET) as webhooks:
        webhooks.send({"type": "call.ended", "text": "à bientôt"})
        await webhooks.close(30)
    (first, first_headers), (again, headers) = receiver.requests
    assert (first, first_headers["webhook-id"]) == (again, headers["webhook-id"]), "a second try is the same message"
    assert standardwebhooks.Webhook(SECRET).verify(again, headers) == {"type": "call.ended", "text": "à bientôt"}
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(again.replace(b"ended", b"begun"), headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook("whsec_" + "A" * 32).verify(again, headers)


async def test_without_a_secret_nothing_is_signed() -> None:
    receiver = Receiver()
    async with hooks(receiver) as webhooks:
        webhooks.send({"type": "call.ended"})
        await webhooks.close(30)
    assert not [name for name in receiver.requests[0][1] if name.startswith("webhook-")]


@pytest.mark.parametrize("secret", ["secret", "whsec_", "whsec_c2hvcnQ=", "A" * 100, "é" * 32])
def test_a_secret_that_is_no_key_stops_the_start_and_is_not_shown(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", secret)
    with pytest.raises(WrongSetting) as raised:
        load_settings()
    assert str(raised.value) == (
        "WEBHOOK_SECRET=(hidden): must be base64 of 24 to 64 random bytes, as `openssl rand -base64 32` prints"
    )
