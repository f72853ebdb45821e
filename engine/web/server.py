"""Creates the runner of an HTTP application, with what holds for every connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

LINGERING_S: Final = 1.0
"""An unread body is thrown away for this long, so that its sender reads the answer before the connection is closed."""


CONNECTION: Final[Mapping[str, Any]] = {
    "access_log": None,
    "auto_decompress": False,
    "lingering_time": LINGERING_S,
}
"""What every connection is made with."""


def create_runner(app: web.Application) -> web.AppRunner:
    """Returns a runner of `app`, not set up. It inflates no body, and cancels the handler of a client that leaves."""
    return web.AppRunner(app, handle_signals=False, handler_cancellation=True, **CONNECTION)
