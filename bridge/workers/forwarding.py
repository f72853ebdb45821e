"""The calls API of a server with workers: each request goes on to the worker that has its call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, cast
from urllib.parse import parse_qsl
from uuid import UUID

import aiohttp
from aiohttp import WSCloseCode, web

from bridge.calls_api import CONCEPTS, media
from bridge.calls_api.lookup import bounded
from bridge.calls_api.relaying import relay, relay_socket
from bridge.calls_api.state import ended_wanted
from bridge.line.sparse_log import SparseLog
from bridge.workers.call_lists import joined
from bridge.workers.passing import Passing
from bridge.workers.team import Team
from bridge.workers.worker import REMOTE
from bridge.workers.worker_process import WorkerProcess
from engine.web.bodies import in_time
from engine.web.errors import ApiError, queue_full
from engine.web.operations import add_operations

SOCKETS: Final = web.AppKey("forwarded_sockets", set[web.WebSocketResponse])


class Forwarding:
    """Answers `/v1/calls…` for the whole."""

    def __init__(self, team: Team) -> None:
        self._team, self._roster = team, team.roster

    def add_routes(self, app: web.Application) -> None:
        """Adds the calls API to the application, and to its document, as each worker has it."""
        app[SOCKETS] = set()
        app[media.CHECK_ROOM] = self._roster.check_room
        strangers = SparseLog()
        app[media.CONNECTION_OF] = lambda call_id: Passing(
            partial(self._team.hand_over_media, call_id=call_id), strangers
        )
        own: Mapping[tuple[str, str], Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
            ("GET", "/v1/calls"): self._list,
            ("POST", "/v1/calls"): self._register,
            ("GET", media.PATH): media.serve_media,
        }
        for concept in CONCEPTS:
            operations = concept.OPERATIONS
            handlers = [own.get((each.method, each.path), self._forward) for each in operations]
            pairs = zip(operations, handlers, strict=True)
            add_operations(app, [replace(operation, handler=handler) for operation, handler in pairs])
        app.on_shutdown.append(_close_sockets)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        """Lists the calls of all workers, or answers what one of them does that cannot list its own."""
        max_ended = ended_wanted(request)
        answers = await asyncio.gather(*(self._listed(worker, request) for worker in self._roster.workers))
        lists = []
        for answer in filter(None, answers):
            if answer.status != 200:
                return answer
            lists.append(cast(bytes, answer.body).decode())
        return web.Response(text=await joined(lists, max_ended), content_type="application/json")

    async def _listed(self, worker: WorkerProcess, request: web.Request) -> web.Response | None:
        try:
            return await _ask(worker, request)
        except aiohttp.ClientError:  # it is gone, and its calls with it
            return None

    async def _register(self, request: web.Request) -> web.StreamResponse:
        """Announces a call to the worker that knows it, or the earlier call that it needs, else to the roomiest."""
        async with in_time():
            body = await bounded(request).read()
        known = (self._roster.of(call_id) for call_id in _named(body))
        worker = next(filter(None, known), None) or self._roster.roomiest()
        if worker is None:
            return await self._to(None, request, body)
        worker.tell_elsewhere(self._roster.elsewhere(worker))  # so that it gives no place away that another one gave
        with worker.announcing():
            return await self._to(worker, request, body)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        worker = None
        with suppress(KeyError, ValueError):
            worker = self._roster.of(UUID(request.match_info["id"]))
        worker = worker or self._roster.roomiest()
        if worker is not None and web.WebSocketResponse().can_prepare(request).ok:
            return await self._forward_socket(worker, request)
        return await self._to(worker, request, request.content if request.can_read_body else None)

    async def _to(self, worker: WorkerProcess | None, request: web.Request, body: Any) -> web.StreamResponse:
        if worker is None:
            raise queue_full("no calls are taken: no worker is ready")
        try:
            answer = await _ask(worker, request, body)
        except aiohttp.ClientError as error:
            raise _lost(error) from None
        if answer.status in (201, 202) and "id" not in request.match_info:
            self._learn(cast(bytes, answer.body), worker)
        return answer

    def _learn(self, content: bytes, worker: WorkerProcess) -> None:
        """Notes where a call is that was announced or placed."""
        with suppress(ValueError, KeyError, TypeError):
            self._roster.learn(UUID(json.loads(content)["id"]), worker)

    async def _forward_socket(self, worker: WorkerProcess, request: web.Request) -> web.StreamResponse:
        headers = {REMOTE: request.remote or ""}
        try:
            return await relay_socket(worker.http, request.rel_url, request, headers, request.app[SOCKETS])
        except aiohttp.WSServerHandshakeError:  # it says why to whoever asks without a WebSocket
            return await self._to(worker, request, None)
        except aiohttp.ClientError as error:
            raise _lost(error) from None


async def _ask(worker: WorkerProcess, request: web.Request, body: Any = None) -> web.Response:
    """Sends a request on to a worker and returns its answer. Raises aiohttp.ClientError."""
    return await relay(worker.http, request.rel_url, request, {REMOTE: request.remote or ""}, body)


async def _close_sockets(app: web.Application) -> None:
    goodbyes = [socket.close(code=WSCloseCode.GOING_AWAY) for socket in app[SOCKETS]]
    await asyncio.gather(*goodbyes)


def _named(body: bytes) -> list[UUID]:
    """Returns the calls that a registration names, as JSON or a form: itself, and the earlier one that it needs."""
    try:
        told = json.loads(body)
    except ValueError:
        told = dict(parse_qsl(body.decode(errors="replace")))
    named = []
    for name in ("id", "continues", "brief_of"):
        with suppress(KeyError, TypeError, ValueError, AttributeError):  # the worker will complain
            named.append(UUID(told[name]))
    return named


def _lost(error: Exception) -> ApiError:
    return ApiError(503, "INTERNAL_ERROR", f"the worker that has this call does not answer: {error}")
