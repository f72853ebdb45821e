"""An HTTP client for services that answer in events: no cookies, redirects or compression, no event without an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx2

MAX_EVENT_BYTES: Final = 256 * 1024
"""How long one event of the stream, or an answer that is no stream, may be; a model's word takes some 300 bytes."""
SLICE_BYTES: Final = 1_024
"""So much is read at once: three words, or 340 of the shortest comments."""
REST_S: Final = 0.004
"""From one slice to the next of what came together: more than any model speaks at."""
_EVENT_ENDS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")


class BadAnswer(httpx2.StreamError):
    """The service answers in a form that is not read on."""


def bounded() -> dict[str, Any]:
    """Returns the options that an `httpx2.AsyncClient` is to be made with, but for its headers."""
    return {
        "follow_redirects": False,
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=())),
        "event_hooks": {"response": [_bound]},
    }


IDENTITY: Final = {"Accept-Encoding": "identity"}
"""The header that asks for an answer without compression."""


async def _bound(response: httpx2.Response) -> None:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise BadAnswer("the answer is compressed, which was not asked for")
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    response.stream = _BoundedStream(response.stream)


class _BoundedStream(httpx2.AsyncByteStream):
    """Passes a response's bytes on until an event is over MAX_EVENT_BYTES; then raises BadAnswer."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        length, tail = 0, b""
        async for chunk in self._stream:
            joined = tail + chunk
            end = max(place + len(mark) if (place := joined.rfind(mark)) >= 0 else 0 for mark in _EVENT_ENDS)
            length = len(joined) - end if end else length + len(chunk)
            if length > MAX_EVENT_BYTES:
                raise BadAnswer(f"an event of over {MAX_EVENT_BYTES} bytes")
            tail = joined[-3:]
            for start in range(0, len(chunk), SLICE_BYTES):
                if start:
                    await asyncio.sleep(REST_S)
                yield chunk[start : start + SLICE_BYTES]

    async def aclose(self) -> None:
        await self._stream.aclose()
