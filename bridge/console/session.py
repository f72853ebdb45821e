"""The console's login: a cookie that suffices, in place of the API key, for what the console's page asks for."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from typing import Final

from aiohttp import web

from bridge.calls_api.lookup import ONLY_FOLLOWS
from bridge.console.rights import Rights
from engine.web.access import OTHER_CREDENTIALS
from engine.web.errors import forbidden

COOKIE: Final = "talkspurt_console"
LIFE_S: Final = 12 * 3600
"""How long a login is good: a working day. The API key is asked for again then."""
_PURPOSE: Final = b"talkspurt console"
OPEN: Final = frozenset(
    {
        ("GET", "/console"),
        ("GET", "/console/static/{name}"),
        ("POST", "/console/login"),
        ("POST", "/console/logout"),
    }
)
"""What is open to everybody: the page, which holds nothing of any call, and its login."""
ACTS: Final = frozenset(
    {
        ("POST", "/v1/calls/{id}/say"),
        ("POST", "/v1/calls/{id}/interrupt"),
        ("POST", "/v1/calls/{id}/hangup"),
    }
)
"""What changes a call."""
ALLOWED: Final = ACTS | frozenset(
    {
        ("GET", "/console/rights"),
        ("GET", "/console/recorded"),
        ("GET", "/console/recorded/{name}"),
        ("GET", "/console/recorded/{name}/journal"),
        ("GET", "/console/recorded/{name}/peaks"),
        ("GET", "/console/recorded/{name}/sound"),
        ("GET", "/v1/calls"),
        ("GET", "/v1/calls/{id}"),
        ("GET", "/v1/calls/{id}/journal"),
        ("GET", "/v1/calls/{id}/events"),
        ("GET", "/v1/info"),
        ("POST", "/v1/audio/speech"),
    }
)
"""What the cookie suffices for. Whoever steals one can place no calls and store no voices with it."""
_OWN_PAGES: Final = frozenset({None, "same-origin", "none"})
"""Where a browser may say that a request comes from. Another port of this host is the same site, and sends cookies."""


class Sessions:
    """Makes and checks what the cookie holds: when it expires, signed with a key that is made from the API key.

    So nothing is kept of a login, every process of a server knows all of them, and a new API key ends them.
    """

    def __init__(self, api_key: str, now_s: Callable[[], float] = time.time) -> None:
        self._api_key = api_key.encode()
        self._key = hmac.digest(self._api_key, _PURPOSE, "sha256")
        self._now_s = now_s

    def is_key(self, given: str) -> bool:
        """Tells whether this is the API key."""
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._api_key)

    def create(self) -> str:
        """Returns a cookie's value for a login of now."""
        expires = str(int(self._now_s()) + LIFE_S)
        return f"{expires}.{self._signature(expires)}"

    def is_good(self, value: str) -> bool:
        """Tells whether a cookie's value was made here and has not expired."""
        expires, _, signature = value.partition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "surrogatepass"), self._signature(expires).encode()):
            return False
        return int(expires) > self._now_s()  # it was signed here, so that it is a number

    def _signature(self, expires: str) -> str:
        return hmac.digest(self._key, expires.encode("utf-8", "surrogatepass"), "sha256").hex()


def take_console_cookies(app: web.Application, api_key: str, rights: Rights) -> None:
    """Takes the cookie of a login in place of the API key, where the console's page asks for what it has a right to."""
    sessions = Sessions(api_key)

    def suffices(request: web.Request) -> bool:
        resource = request.match_info.route.resource
        asked = ("GET" if request.method == "HEAD" else request.method, resource.canonical if resource else "")
        if asked in OPEN:
            return True
        if asked not in ALLOWED or request.headers.get("Sec-Fetch-Site") not in _OWN_PAGES:
            return False
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != request.host:
            return False  # a page at another port of this machine, which CORS_ORIGINS lets ask with the key
        if not sessions.is_good(request.cookies.get(COOKIE, "")):
            return False
        if asked in ACTS and not rights.act:
            raise forbidden("CONSOLE_ACT=false: the console speaks into no call, interrupts none and hangs none up")
        request[ONLY_FOLLOWS] = True
        return True

    app[OTHER_CREDENTIALS].append(suffices)
