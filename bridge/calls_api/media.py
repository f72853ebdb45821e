"""The operation by which Asterisk's chan_websocket brings a call: the connection becomes the call's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast
from uuid import UUID

from aiohttp import web

from bridge.calls_api.call_token import check_token_is_of
from bridge.calls_api.lookup import no_calls_taken
from bridge.line.connection import CallRefused
from bridge.line.websocket import PROTOCOL
from engine.web.errors import ApiError
from engine.web.inbox import READING
from engine.web.operations import Operation

PATH: Final = "/v1/media"
ConnectionOf = Callable[[UUID], asyncio.Protocol]
CONNECTION_OF: Final = web.AppKey[ConnectionOf]("connection_of")
"""Makes the connection of a call that comes."""
CheckRoom = Callable[[UUID], None]
CHECK_ROOM: Final = web.AppKey[CheckRoom]("check_room")
"""Raises CallRefused where a call that comes would not be taken now."""


class _HandsOver(Protocol):
    """The connection of a request, which another protocol can take over."""

    def hand_over(self, successor: asyncio.Protocol) -> None:
        """Gives the connection to `successor`."""


async def serve_media(request: web.Request) -> web.StreamResponse:
    try:
        call_id = UUID(request.query.get("id", ""))
    except ValueError:
        raise ApiError(400, "INVALID_REQUEST", "must be the UUID of the call", param="id") from None
    check_token_is_of(request, call_id)
    socket = web.WebSocketResponse(protocols=(PROTOCOL,), compress=False)
    connection = request.transport.get_extra_info(READING) if request.transport is not None else None
    if not socket.can_prepare(request).ok or connection is None:
        raise ApiError(426, "INVALID_REQUEST", "this is a WebSocket", headers={"Upgrade": "websocket"})
    try:
        request.app[CHECK_ROOM](call_id)
    except CallRefused as refusal:
        raise no_calls_taken(refusal) from None
    await socket.prepare(request)
    cast(_HandsOver, connection).hand_over(request.app[CONNECTION_OF](call_id))
    return socket


OPERATIONS: Final = [
    Operation(
        "GET",
        PATH,
        serve_media,
        "Bring a call, as a WebSocket of Asterisk's chan_websocket",
        {101: ("the call, until it ends", ())},
        details=(
            "`id` is the call's UUID, `token` what its dialplan proves itself with. Sound is linear, 16 bits, in "
            "binary messages; all else is JSON, as `f(json)` has it. Asterisk connects here with the dialplan that "
            "`talkspurt dialplan --websocket` prints."
        ),
        errors=(400, 426, 503),
    )
]
