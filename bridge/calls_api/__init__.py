"""The calls API: `/v1/calls…` and `/v1/media` on an aiohttp application."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from bridge.calls_api import caller, ending, event_socket, events, media, outbound, registering, speech, state
from bridge.calls_api.call_token import take_call_tokens
from bridge.calls_api.lookup import CALLS, OUTBOUND, SERVICES
from bridge.calls_api.media import CHECK_ROOM, CONNECTION_OF, ConnectionOf
from bridge.conversation.calls import Calls
from bridge.conversation.services import Services
from bridge.outbound.outbound_calls import OutboundCalls
from engine.web.operations import add_operations

CONCEPTS: Final = (registering, caller, outbound, state, speech, ending, events, event_socket, media)


def add_call_routes(
    app: web.Application,
    calls: Calls,
    outbound_calls: OutboundCalls,
    services: Services,
    connection_of: ConnectionOf,
) -> None:
    """Serves `/v1/calls…` from `calls` and what is said in them, and places `outbound_calls`.

    `services` are asked about each call that is announced; `connection_of` makes the connection of one that comes here.
    """
    app[CALLS], app[OUTBOUND], app[SERVICES], app[CONNECTION_OF] = calls, outbound_calls, services, connection_of
    app[CHECK_ROOM] = calls.check_room
    app[event_socket.SOCKETS] = set()
    for concept in CONCEPTS:
        add_operations(app, concept.OPERATIONS)
    app.on_shutdown.append(event_socket.close_sockets)


__all__ = ["add_call_routes", "take_call_tokens"]
