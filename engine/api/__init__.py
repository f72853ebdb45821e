"""The HTTP speech endpoints on an aiohttp application."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web
from prometheus_client import CollectorRegistry

import engine.api.batch as batch
import engine.api.captions as captions
import engine.api.socket as socket
import engine.api.speech as speech
import engine.api.status as status
import engine.api.voices as voices
import engine.web.openapi as openapi
from engine.api.service import SPEECH, SpeechService
from engine.api.status import HEALTH
from engine.settings import SpeechSettings, VoiceSettings
from engine.speech import Engine
from engine.web.access import add_access_checks
from engine.web.operations import Operation, add_operations


def add_speech_routes(
    app: web.Application,
    engine: Engine,
    settings: SpeechSettings,
    voice_settings: VoiceSettings,
    registry: CollectorRegistry | None = None,
    hosts: Collection[str] = (),
) -> SpeechService:
    """Adds the speech endpoints, /health, /metrics and /docs to `app`, and checks access to all of its routes.

    `registry` is what /metrics shows. Others add to /health by `app[HEALTH]` and to /docs by `add_operations`. The
    engine is the caller's to start and close. `hosts` are further names and addresses of this server. Run the
    application by `engine.web.server.create_runner`.
    """
    service = SpeechService(engine, settings, voice_settings, registry or CollectorRegistry())
    service.voices.load()
    app[SPEECH] = service
    app[HEALTH] = []
    api_key = settings.api_key.get_secret_value()
    app[openapi.DESCRIPTION_KEY] = openapi.Description(
        service.voice_names, service.settle_schemas, service.stored_names, key=bool(api_key)
    )
    app[socket.SOCKETS] = set()
    add_access_checks(app, api_key, settings.origins(), {*hosts, *settings.hosts()})
    for operations in (
        speech.OPERATIONS,
        batch.OPERATIONS,
        captions.OPERATIONS,
        voices.OPERATIONS,
        status.OPERATIONS,
        openapi.OPERATIONS,
    ):
        add_operations(app, operations)
    app.router.add_get("/", _to_docs)
    app.router.add_get(socket.PATH, socket.serve_socket, allow_head=False)
    app.on_startup.append(openapi.describe_at_start)
    app.on_shutdown.append(socket.close_sockets)
    app.on_cleanup.append(_close)
    return service


async def _to_docs(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/docs")


async def _close(app: web.Application) -> None:
    app[SPEECH].synthesizer.close()


__all__ = ["HEALTH", "Operation", "SpeechService", "add_operations", "add_speech_routes"]
