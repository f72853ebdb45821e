"""Requests about a call that another bridge has: they are sent on to it, or answered with what it has left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import UUID

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from bridge.calls_api.call_token import new_calls
from bridge.calls_api.lookup import SHARED
from bridge.calls_api.relaying import relay, relay_socket
from bridge.cluster.next_place import CUT
from bridge.cluster.shared_calls import NotReached, SharedCall, SharedCalls
from bridge.conversation.next_destination import WARM
from engine.web.errors import ApiError

SENT_ON: Final = "X-Talkspurt-Sent-On"
"""The header of a request that another bridge has sent on. It goes no further."""
CALL_PATH: Final = "/v1/calls/{id}"
NEXT: Final = f"{CALL_PATH}/next"
FOR_DIALPLANS: Final = (NEXT, f"{CALL_PATH}/topic")
"""What `CURL()` asks, which tells a dialplan no status: any text would be an answer."""
CONNECT_S: Final = 0.5
ANSWER_S: Final = 1.0
"""How long another bridge may take where a dialplan waits, which it does for two seconds."""
SILENT_S: Final = 10.0
"""How long another bridge that hangs is waited for by everybody else."""
_HTTP: Final = web.AppKey("bridges", aiohttp.ClientSession)
_SOCKETS: Final = web.AppKey("sockets_elsewhere", set[web.WebSocketResponse])


def add_elsewhere(app: web.Application, shared: SharedCalls, is_here: Callable[[UUID], bool]) -> None:
    """Has the application answer for the calls of all bridges. `is_here` tells of a call that has connected here."""
    app[SHARED] = shared
    app[_SOCKETS] = set()

    @web.middleware
    async def look_elsewhere(request: web.Request, handler: Handler) -> web.StreamResponse:
        path = _path(request)
        call_id = _call_id(request) if path.startswith(CALL_PATH) and SENT_ON not in request.headers else None
        if call_id is None or is_here(call_id):
            return await handler(request)
        try:
            call = await shared.find(call_id)
        except NotReached as error:
            if path in FOR_DIALPLANS:
                return web.Response(status=503)
            raise ApiError(503, "INTERNAL_ERROR", f"it is not known which bridge has this call: {error}") from None
        if call is None:
            return await handler(request)
        answer = await _ask(request, call, shared) if call.at != shared.at else None
        return answer if answer is not None else _left(request, call)

    async def connect(app: web.Application) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENT_S)
        app[_HTTP] = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())

    async def say_goodbye(app: web.Application) -> None:
        goodbyes = [socket.close(code=aiohttp.WSCloseCode.GOING_AWAY) for socket in app[_SOCKETS]]
        await asyncio.gather(*goodbyes)

    async def close(app: web.Application) -> None:
        await app[_HTTP].close()

    app.middlewares.append(look_elsewhere)
    app.on_startup.append(connect)
    app.on_shutdown.append(say_goodbye)
    app.on_cleanup.append(close)


async def _ask(request: web.Request, call: SharedCall, shared: SharedCalls) -> web.StreamResponse | None:
    """Returns what the call's bridge answers; None where it is gone, hangs, or knows nothing of where the call goes."""
    url = URL(call.at).join(request.rel_url)
    # This bridge has looked at the page's origin, which is none of the other bridge's own pages.
    headers, leaving_out = {SENT_ON: "1"}, frozenset({"host", "origin"})
    http = request.app[_HTTP]
    try:
        if web.WebSocketResponse().can_prepare(request).ok:
            return await relay_socket(http, url, request, headers, request.app[_SOCKETS], leaving_out)
        body = request.content if request.can_read_body else None
        asked = relay(http, url, request, headers, body, leaving_out)
        if _path(request) not in FOR_DIALPLANS:
            answer = await asked
        else:
            async with asyncio.timeout(ANSWER_S):
                answer = await asked
    except aiohttp.WSServerHandshakeError as error:
        raise ApiError(error.status, "HTTP_ERROR", "the bridge that has this call takes no WebSocket now") from None
    except aiohttp.ConnectionTimeoutError:
        return None
    except TimeoutError:
        if not await _runs(shared, call.at):
            return None
        # It may know best: were it taken for gone, a call that is over would go on elsewhere.
        if _path(request) in FOR_DIALPLANS:
            return web.Response(status=503)
        raise ApiError(503, "INTERNAL_ERROR", "the bridge that has this call does not answer") from None
    except aiohttp.ClientError:
        return None
    if _path(request) not in FOR_DIALPLANS or answer.status == 200:
        return answer
    # Any other text would be a place to a dialplan. A bridge that was started anew does not know the call.
    return None if answer.status == 404 else web.Response(status=503)


async def _runs(shared: SharedCalls, at: str) -> bool:
    """Tells whether the bridge that is reached there runs, as far as that can be known."""
    try:
        return await shared.runs(at)
    except NotReached:
        return True


def _left(request: web.Request, call: SharedCall) -> web.StreamResponse:
    """Answers for a bridge that is gone, or has forgotten the call."""
    path = _path(request)
    if path == NEXT:
        text = call.next if call.over else CUT
        if text.endswith(f",{WARM}"):
            text = ",".join([text, *new_calls(request.app, 2)])
        return web.Response(text=text)
    if path in FOR_DIALPLANS:
        return web.Response(status=404, text="")
    if call.over:
        raise ApiError(404, "NOT_FOUND", f"the call {request.match_info['id']} is over", param="id")
    raise ApiError(503, "INTERNAL_ERROR", "the bridge that had this call is gone")


def _path(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def _call_id(request: web.Request) -> UUID | None:
    try:
        return UUID(request.match_info["id"])
    except (KeyError, ValueError):
        return None
