"""Creates the runner of an HTTP application, with what holds for every connection."""

from __future__ import annotations

from typing import Final

from aiohttp import web

LINGERING_S: Final = 1.0
"""An unread body is thrown away for this long, so that its sender reads the answer before the connection is closed."""
KEEP_ALIVE_S: Final = 60.0
"""How long a connection may wait for its next request."""


def create_runner(app: web.Application, keep_alive_s: float = KEEP_ALIVE_S) -> web.AppRunner:
    """Returns a runner of `app`, not set up. It inflates no body, and cancels the handler of a client that leaves."""
    return web.AppRunner(
        app,
        handle_signals=False,
        handler_cancellation=True,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=keep_alive_s,
        lingering_time=LINGERING_S,
    )
