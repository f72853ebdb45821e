"""The calls API: `/v1/calls…` on an aiohttp application."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from bridge.calls_api import ending, event_socket, events, outbound, registering, speech, state
from bridge.calls_api.call_token import take_call_tokens
from bridge.calls_api.lookup import CALLS, OUTBOUND, SERVICES
from bridge.conversation.calls import Calls
from bridge.conversation.services import Services
from bridge.outbound.outbound_calls import OutboundCalls
from engine.web.operations import add_operations

CONCEPTS: Final = (registering, outbound, state, speech, ending, events, event_socket)


def add_call_routes(app: web.Application, calls: Calls, outbound_calls: OutboundCalls, services: Services) -> None:
    """Serves `/v1/calls…` from `calls` and what is said in them, and places `outbound_calls`.

    `services` are asked about each call that is announced.
    """
    app[CALLS], app[OUTBOUND], app[SERVICES] = calls, outbound_calls, services
    app[event_socket.SOCKETS] = set()
    for concept in CONCEPTS:
        add_operations(app, concept.OPERATIONS)
    app.on_shutdown.append(event_socket.close_sockets)


__all__ = ["add_call_routes", "take_call_tokens"]
