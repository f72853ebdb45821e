"""Checks who may call, before every route of the application: the bearer token and the origin of a page."""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from multidict import CIMultiDict

from engine.web.errors import ApiError, answer_errors

OPEN_PATHS: Final = frozenset({"/health"})
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
EXPOSED_HEADERS: Final = (
    "X-Request-Id, X-Sample-Rate, X-Voice, X-Cache, X-PCM-Sample-Rate, X-PCM-Bit-Depth, X-PCM-Channels"
)
PREFLIGHT_MAX_AGE_S: Final = 3600
REQUEST_ID: Final = web.RequestKey("request_id", str)


def add_access_checks(app: web.Application, api_key: str, origins: frozenset[str]) -> None:
    """Checks the token and the origin, and gives errors their shape, before every route that `app` has or will have."""
    app.middlewares.extend((answer_errors, _check_origin(origins), _check_token(api_key)))

    async def label(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.setdefault("X-Request-Id", request_id(request))
        _allow_origin(request, response.headers, origins)

    app.on_response_prepare.append(label)


def request_id(request: web.Request) -> str:
    """Returns the name of this request in the answer's X-Request-Id and in the log."""
    if REQUEST_ID not in request:
        request[REQUEST_ID] = uuid4().hex
    return request[REQUEST_ID]


def _check_token(api_key: str) -> Middleware:
    expected = f"Bearer {api_key}".encode()

    @web.middleware
    async def check_token(request: web.Request, handler: Handler) -> web.StreamResponse:
        if api_key and request.path not in OPEN_PATHS:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            given = f"{scheme.capitalize()} {token.strip()}".encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, expected):
                raise ApiError(
                    401,
                    "UNAUTHORIZED",
                    "this server wants its API key: send the header 'Authorization: Bearer <API_KEY>'",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        return await handler(request)

    return check_token


def _check_origin(origins: frozenset[str]) -> Middleware:
    @web.middleware
    async def check_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answers preflights, and keeps pages of other sites from acting through a visitor's browser.

        A browser lets any page send simple POSTs and open WebSockets here: it only hides the answers.
        """
        origin = request.headers.get("Origin")
        if origin is None:
            return await handler(request)
        allowed = _is_allowed(origin, origins) or urlsplit(origin).netloc == request.host
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
