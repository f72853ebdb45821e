"""Sends a request on to the process that has its call, and brings back what that one answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, Final

import aiohttp
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from multidict import CIMultiDict
from yarl import URL

from bridge.calls_api.event_socket import HEARTBEAT_S
from bridge.calls_api.lookup import MAX_BODY_BYTES
from engine.web.inbox import Inbox, create_socket

HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "expect", "date"}
)
"""What HTTP's messages say of one connection, and what whoever sends them on says itself."""
WEBSOCKET: Final = ("sec-websocket-",)


async def relay(
    http: aiohttp.ClientSession,
    url: URL,
    request: web.Request,
    headers: Mapping[str, str],
    body: Any = None,
    leaving_out: frozenset[str] = frozenset(),
) -> web.Response:
    """Sends a request on and returns the answer. `headers` come in place of the request's own. Raises ClientError."""
    sent = _sent_on(request, headers, leaving_out)
    async with http.request(request.method, url, data=body, headers=sent, allow_redirects=False) as answer:
        return web.Response(status=answer.status, body=await answer.read(), headers=_kept(answer.headers))


async def relay_socket(
    http: aiohttp.ClientSession,
    url: URL,
    request: web.Request,
    headers: Mapping[str, str],
    sockets: set[web.WebSocketResponse],
    leaving_out: frozenset[str] = frozenset(),
) -> web.WebSocketResponse:
    """Joins a WebSocket with another process's, until either closes; meanwhile it is one of `sockets`.

    Raises ClientError.
    """
    sent = CIMultiDict(
        (name, value)
        for name, value in _sent_on(request, headers, leaving_out).items()
        if not name.lower().startswith(WEBSOCKET)
    )
    theirs = await http.ws_connect(url, headers=sent, protocols=_offered(request), max_msg_size=0)
    ours = create_socket(MAX_BODY_BYTES, HEARTBEAT_S)
    try:
        await ours.prepare(request)
        sockets.add(ours)
        pumps = [asyncio.create_task(_pump(_sent(ours), theirs)), asyncio.create_task(_pump(theirs, ours))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
    finally:
        sockets.discard(ours)
        await theirs.close()
        await ours.close(code=theirs.close_code or WSCloseCode.GOING_AWAY)
    return ours


async def _sent(socket: web.WebSocketResponse) -> AsyncIterator[WSMessage]:
    """Gives what a client sends, no faster than it may."""
    inbox = Inbox(socket)
    while (message := await inbox.next()) is not None:
        yield message


async def _pump(
    source: AsyncIterable[WSMessage], sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse
) -> None:
    """Sends on what comes, until one side closes."""
    with suppress(ConnectionError):
        async for message in source:
            if message.type is WSMsgType.TEXT:
                await sink.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await sink.send_bytes(message.data)


def _offered(request: web.Request) -> tuple[str, ...]:
    """Returns the subprotocols of a WebSocket's handshake, in one of which a page brings its key."""
    offered = ",".join(request.headers.getall("Sec-WebSocket-Protocol", ()))
    return tuple(filter(None, (name.strip() for name in offered.split(","))))


def _sent_on(request: web.Request, headers: Mapping[str, str], leaving_out: frozenset[str]) -> CIMultiDict[str]:
    kept = CIMultiDict(
        (name, value) for name, value in _kept(request.headers).items() if name.lower() not in leaving_out
    )
    for name, value in headers.items():
        kept[name] = value
    return kept


def _kept(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP)
