"""Checks who may call, before every route and any body: the host, the bearer token and the origin of a page."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from multidict import CIMultiDict

from engine.loopback import is_loopback
from engine.web.bodies import refuse_compressed
from engine.web.errors import ApiError, answer_errors

OPEN_PATHS: Final = frozenset({"/health", "/docs", "/"})
"""What is open to everybody. /docs asks for the key itself: a browser cannot send it along with a page's address."""
KEY_PROTOCOL: Final = "bearer."
"""The beginning of a WebSocket's subprotocol that brings the key, in base64url: a page can send no header with one."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
EXPOSED_HEADERS: Final = (
    "X-Request-Id, X-Sample-Rate, X-Voice, X-Cache, X-PCM-Sample-Rate, X-PCM-Bit-Depth, X-PCM-Channels"
)
PREFLIGHT_MAX_AGE_S: Final = 3600
OTHER_CREDENTIALS: Final = web.AppKey[list[Callable[[web.Request], bool]]]("other_credentials")
"""What else is taken for the key: each tells whether a request brings what suffices for it."""
REQUEST_ID: Final = web.RequestKey("request_id", str)

_HOST: Final = re.compile(r"[^\[\]@/?#\\]+|\[[0-9A-Fa-f:.]+\](:\d+)?")
"""What a Host header may look like: `urlsplit` raises ValueError for others."""


def add_access_checks(app: web.Application, api_key: str, origins: frozenset[str], hosts: Collection[str] = ()) -> None:
    """Checks host, origin and token before every route that `app` has or will have, and gives errors their shape.

    `hosts` are the names and addresses, besides those of loopback, under which the server may be called; * is any.
    """
    app[OTHER_CREDENTIALS] = []
    checks = _check_host(hosts), _check_origin(origins), _check_token(api_key), refuse_compressed
    app.middlewares.extend((answer_errors, *checks))

    async def label(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.setdefault("X-Request-Id", request_id(request))
        _allow_origin(request, response.headers, origins)

    app.on_response_prepare.append(label)


def request_id(request: web.Request) -> str:
    """Returns the name of this request in the answer's X-Request-Id and in the log."""
    if REQUEST_ID not in request:
        request[REQUEST_ID] = uuid4().hex
    return request[REQUEST_ID]


def _check_host(hosts: Collection[str]) -> Middleware:
    allowed = {_bare(host) for host in hosts}

    @web.middleware
    async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuses names that are not this server's.

        By DNS rebinding a page of any site can have a browser send its requests here, under that site's name.
        """
        given = request.headers.get("Host")
        if given is None:
            return await handler(request)  # a health check in HTTP/1.0; browsers always send it
        host = _bare(urlsplit(f"//{given}").hostname or "") if _HOST.fullmatch(given) else ""
        if not (is_loopback(host) or host in allowed or "*" in allowed or host == _own_address(request)):
            message = f"this server is not {given[:100]!r}: ALLOWED_HOSTS lists the names under which it may be called"
            raise ApiError(421, "HTTP_ERROR", message)
        return await handler(request)

    return check_host


def _bare(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _own_address(request: web.Request) -> str:
    """Returns the address at which the client reached this server, which a page of another site cannot have."""
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    return str(name[0]) if isinstance(name, tuple) else ""


def _check_token(api_key: str) -> Middleware:
    expected = f"Bearer {api_key}".encode()

    @web.middleware
    async def check_token(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_open = request.path in OPEN_PATHS and request.method in SAFE_METHODS
        if api_key and not is_open:
            others = request.app[OTHER_CREDENTIALS]
            given = _authorization(request)
            if not hmac.compare_digest(given, expected) and not any(suffices(request) for suffices in others):
                raise ApiError(
                    401,
                    "UNAUTHORIZED",
                    "this server wants its API key: send the header 'Authorization: Bearer <API_KEY>'",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        return await handler(request)

    return check_token


def _authorization(request: web.Request) -> bytes:
    """Returns the credentials that a request brings in its header, or a WebSocket's handshake in a subprotocol."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme or request.headers.get("Upgrade", "").lower() != "websocket":
        return f"{scheme.capitalize()} {token.strip()}".encode("utf-8", "surrogateescape")
    for protocol in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
        if protocol.strip().startswith(KEY_PROTOCOL):
            encoded = protocol.strip().removeprefix(KEY_PROTOCOL)
            with suppress(ValueError):
                return b"Bearer " + base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    return b""


def _check_origin(origins: frozenset[str]) -> Middleware:
    @web.middleware
    async def check_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answers preflights, and keeps pages of other sites from acting through a visitor's browser.

        A browser lets any page send simple POSTs and open WebSockets here: it only hides the answers.
        """
        origin = request.headers.get("Origin")
        if origin is None:
            return await handler(request)
        try:
            allowed = _is_allowed(origin, origins) or urlsplit(origin).netloc == request.host
        except ValueError:
            raise ApiError(400, "INVALID_REQUEST", f"Origin: {origin[:100]!r} is no origin") from None
        if allowed and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return _preflight(request)
        acts = request.method not in SAFE_METHODS or request.headers.get("Upgrade", "").lower() == "websocket"
        if acts and not allowed:
            raise ApiError(
                403, "HTTP_ERROR", f"pages of {origin} may not call this server: CORS_ORIGINS lists which may"
            )
        return await handler(request)

    return check_origin


def _is_allowed(origin: str, origins: frozenset[str]) -> bool:
    return "*" in origins or origin in origins


def _preflight(request: web.Request) -> web.Response:
    headers = {
        "Access-Control-Allow-Methods": request.headers["Access-Control-Request-Method"],
        "Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE_S),
    }
    if "Access-Control-Request-Headers" in request.headers:
        headers["Access-Control-Allow-Headers"] = request.headers["Access-Control-Request-Headers"]
    return web.Response(status=204, headers=headers)


def _allow_origin(request: web.Request, headers: CIMultiDict[str], origins: frozenset[str]) -> None:
    if not origins:
        return
    headers.add("Vary", "Origin")
    origin = request.headers.get("Origin")
    if origin is not None and _is_allowed(origin, origins):
        headers["Access-Control-Allow-Origin"] = "*" if "*" in origins else origin
        headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
