"""The HTTP client for a language model."""

from __future__ import annotations

from typing import Any, Final

from httpx2 import Limits, NetworkError, RemoteProtocolError, Request, Response
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from bridge.brains.bounded_http import IDENTITY, bounded

KEPT_S: Final = 60.0
"""How long a connection waits for the next question: longer than a caller speaks or listens. Address translators drop
a silent connection after minutes, without a word; servers close theirs after 5 to 75 s, which the client sees."""
MOST_KEPT: Final = 100
MOST_OPEN: Final = 1_000


def make_llm_client(base_url: str, api_key: str) -> AsyncOpenAI:
    """Returns a client that keeps nothing but connections, and takes key and conversation to `base_url` alone.

    It asks once: whether a question is asked again is for those to say who know what was said meanwhile.
    """
    limits = Limits(max_connections=MOST_OPEN, max_keepalive_connections=MOST_KEPT, keepalive_expiry=KEPT_S)
    http = _KeepingClient(headers=IDENTITY, limits=limits, **bounded())
    return AsyncOpenAI(base_url=base_url, api_key=api_key, max_retries=0, http_client=http)


class _KeepingClient(DefaultAsyncHttpxClient):
    """Sends a request again, once, where the server was closing the kept connection that it went out on.

    Such a server has not read it. One that breaks off a new connection, or an answer, has.
    """

    async def send(self, request: Request, **options: Any) -> Response:
        is_sure = False

        async def watch(event: str, _: Any) -> None:
            nonlocal is_sure
            is_sure |= event in ("connection.connect_tcp.started", "http11.receive_response_headers.complete")

        request.extensions = {**request.extensions, "trace": watch}
        try:
            return await super().send(request, **options)
        except (NetworkError, RemoteProtocolError):
            if is_sure:
                raise
            return await super().send(request, **options)
