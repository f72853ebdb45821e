"""The console's page: its files, and the policy that lets it load from nowhere but this server."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from aiohttp import web

from engine.web.errors import ApiError

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "media-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
_FILES: Final = {
    file.name: file.read_bytes() for file in files("bridge.console").joinpath("static").iterdir() if file.is_file()
}
"""The page's files by their names. They are few and small, and are read once."""


async def get_page(request: web.Request) -> web.Response:
    return _answer("index.html")


async def get_file(request: web.Request) -> web.Response:
    return _answer(request.match_info["name"])


def _answer(name: str) -> web.Response:
    content_type = TYPES.get(name[name.rfind(".") :])
    if name not in _FILES or content_type is None:
        raise ApiError(404, "NOT_FOUND", f"the console has no file {name[:80]!r}")
    return web.Response(body=_FILES[name], content_type=content_type, charset="utf-8", headers=HEADERS)
