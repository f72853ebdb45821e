"""A token that is good for one call: with it a dialplan may announce that call and ask where it goes on, nothing more.

Where it goes on with a warm transfer, the answer holds the tokens of the calls that may follow.

The dialplan proves with it that it knows a secret, which is made from the API key and lets nobody find the key. So the
key stands in no dialplan, and what Asterisk writes into its log is useless for any other call.
"""

from __future__ import annotations

import hmac
from hashlib import sha1
from typing import Final
from uuid import UUID, uuid4

from aiohttp import BasicAuth, web

from engine.web.access import OTHER_CREDENTIALS
from engine.web.errors import ApiError

TOKEN_OF: Final = web.RequestKey("token_of", UUID)
"""The call for which a request's token is; missing where the request came without one."""
_SECRET: Final = web.AppKey("dialplan_secret", str)
_PURPOSE: Final = b"talkspurt dialplan"
_ALLOWED: Final = (
    ("POST", "/v1/calls"),
    ("POST", "/v1/calls/{id}/caller"),
    ("GET", "/v1/calls/{id}/next"),
    ("GET", "/v1/calls/{id}/topic"),
    ("GET", "/v1/media"),
)


def dialplan_secret(api_key: str) -> str:
    """Returns the secret that dialplans of a server with this key are given: 64 characters."""
    return hmac.digest(api_key.encode(), _PURPOSE, "sha256").hex()


def call_token(secret: str, call_id: str) -> str:
    """Returns the token of a call: a keyed hash of its id, of the only kind that a dialplan can compute.

    Asterisk has no HMAC, but SHA1(); hashed twice with the secret in front, as in HMAC, no token leads to another.
    """
    return _sha1(secret + _sha1(secret + call_id))


def take_call_tokens(app: web.Application, api_key: str) -> None:
    """Takes a call's token where it suffices: as the password of HTTP's basic scheme, with the call's id as user.

    chan_websocket's own password is the same for all calls; there the two are `id` and `token` of the address's query.
    """
    secret = app[_SECRET] = dialplan_secret(api_key)

    def suffices(request: web.Request) -> bool:
        resource = request.match_info.route.resource
        if (request.method, resource.canonical if resource is not None else "") not in _ALLOWED:
            return False
        try:
            name, token = _given(request)
            call_id = UUID(name)
        except ValueError:
            return False
        if not hmac.compare_digest(token.encode("utf-8", "surrogateescape"), call_token(secret, name).encode()):
            return False
        request[TOKEN_OF] = call_id
        try:
            return UUID(request.match_info.get("id", name)) == call_id
        except ValueError:
            return False

    app[OTHER_CREDENTIALS].append(suffices)


def new_calls(app: web.Application, count: int) -> list[str]:
    """Returns ids of calls that are still to come, each followed by its token: an empty text where none is wanted."""
    secret, ids = app.get(_SECRET), [str(uuid4()) for _ in range(count)]
    return [text for each in ids for text in (each, "" if secret is None else call_token(secret, each))]


def check_token_is_of(request: web.Request, call_id: UUID) -> None:
    """Raises ApiError where a request came with the token of another call."""
    if request.get(TOKEN_OF, call_id) != call_id:
        raise ApiError(401, "UNAUTHORIZED", "this token is another call's", param="id")


def _given(request: web.Request) -> tuple[str, str]:
    """Returns the name of the call that a request says it is of, and its token. Raises ValueError."""
    if "token" in request.query:
        return request.query.get("id", ""), request.query["token"]
    given = BasicAuth.decode(request.headers.get("Authorization", ""), encoding="utf-8")
    return given.login, given.password


def _sha1(text: str) -> str:
    return sha1(text.encode()).hexdigest()
