"""A client's messages over a WebSocket: how many, how fast, and what becomes of one that sends more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from aiohttp.client import ClientWebSocketResponse
from aiohttp.test_utils import TestClient, TestServer

from engine.web import inbox
from engine.web.inbox import BURST_S, FLOOD_S, MESSAGES_PER_S, UNIT_CHARS, Budget, Flood, Inbox, create_socket

BURST = round(BURST_S * MESSAGES_PER_S)
MOST_HELD = round(FLOOD_S * MESSAGES_PER_S)


class Clock:
    """Moves only when it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def _sent_on_end(budget: Budget, clock: Clock, messages: int, late_s: float = 0.0) -> float:
    """Sends, waits as told and a little longer, and returns how long that took."""
    since_s = clock.now_s
    for _ in range(messages):
        wait_s = budget.spend()
        clock.now_s += wait_s + (late_s if wait_s else 0.0)
    return clock.now_s - since_s


def test_a_burst_is_taken_at_once_and_the_rest_at_the_rate() -> None:
    clock = Clock()
    budget = Budget(clock=clock)
    assert _sent_on_end(budget, clock, BURST) == pytest.approx(0.0, abs=0.01)
    assert _sent_on_end(budget, clock, MESSAGES_PER_S) == pytest.approx(1.0)


def test_a_long_message_counts_as_several() -> None:
    clock = Clock()
    budget = Budget(clock=clock)
    budget.spend(BURST * UNIT_CHARS)
    assert budget.spend(MESSAGES_PER_S * UNIT_CHARS) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("late_s", [0.0, 0.0015])
def test_whoever_sends_more_for_long_is_given_up(late_s: float) -> None:
    """Also where every wait is longer than it was meant to be, as timers have it."""
    clock = Clock()
    budget = Budget(clock=clock)
    _sent_on_end(budget, clock, BURST + MOST_HELD // 2, late_s)
    with pytest.raises(Flood):
        _sent_on_end(budget, clock, 2 * MOST_HELD, late_s)


def test_whoever_sends_much_now_and_then_is_never_given_up() -> None:
    clock = Clock()
    budget = Budget(clock=clock)
    for _ in range(20):
        took_s = _sent_on_end(budget, clock, BURST + MOST_HELD - 10)
        assert took_s == pytest.approx((MOST_HELD - 10) / MESSAGES_PER_S, abs=0.01)
        clock.now_s += BURST_S


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async def echo(request: web.Request) -> web.StreamResponse:
        socket = create_socket(1_000_000)
        await socket.prepare(request)
        messages = Inbox(socket)
        while (message := await messages.next()) is not None:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/", echo)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
async def socket(client: TestClient[web.Request, web.Application]) -> AsyncIterator[ClientWebSocketResponse]:
    async with client.ws_connect("/", autoping=False) as socket:
        yield socket


async def test_pings_are_answered_between_messages(socket: ClientWebSocketResponse) -> None:
    await socket.ping(b"who")
    await socket.pong()
    await socket.send_str("hello")
    pong, text = [await socket.receive(10) for _ in range(2)]
    assert (pong.type, bytes(pong.data)) == (WSMsgType.PONG, b"who")
    assert text.data == "hello"


@pytest.mark.parametrize("kind", [WSMsgType.PING, WSMsgType.TEXT])
async def test_a_flood_is_closed_with_its_reason(
    socket: ClientWebSocketResponse, monkeypatch: pytest.MonkeyPatch, kind: WSMsgType
) -> None:
    monkeypatch.setattr(inbox, "FLOOD_S", 0.01)

    async def flood() -> None:
        while not socket.closed:
            await socket.send_frame(b"{}", kind)

    flooding = asyncio.create_task(flood())
    while (message := await socket.receive(10)).type is not WSMsgType.CLOSE:
        assert message.type in (WSMsgType.PONG, WSMsgType.TEXT)
    assert (message.data, message.extra) == (
        WSCloseCode.POLICY_VIOLATION,
        f"more than {MESSAGES_PER_S} messages a second",
    )
    await asyncio.gather(flooding, return_exceptions=True)


class Line:
    """A socket with messages that have come, and the reading of its connection."""

    def __init__(self, messages: int) -> None:
        self.come = [WSMessage(WSMsgType.TEXT, "", None)] * messages
        self.more = asyncio.Event()
        self.held_with: list[int] = []
        """How many messages had come and were not taken when the reading was stopped."""
        self.reading = True

    async def receive(self, timeout_s: float | None = None) -> WSMessage:
        if not self.come:
            await self.more.wait()
        return self.come.pop()

    def get_extra_info(self, name: str) -> Line:
        assert name == inbox.READING
        return self

    def hold(self) -> None:
        self.reading = False

    def release(self) -> None:
        assert not self.come
        self.reading = True


async def test_of_a_client_that_is_held_back_nothing_is_read_until_what_came_is_taken() -> None:
    rate = 100
    line = Line(round(BURST_S * rate) + 5)
    messages = Inbox(cast(web.WebSocketResponse, line), rate)
    while line.come:
        await messages.next()
    assert not line.reading
    waiting = asyncio.create_task(messages.next())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert line.reading
    line.come.append(WSMessage(WSMsgType.CLOSED, None, None))
    line.more.set()
    assert await waiting is None
