"""Tells another system of calls by POST of JSON: tries again when that fails, and never delays a call.

With a secret each request is signed as standardwebhooks.com describes, so that the receiver's library can tell that it
comes from here, that it is recent, and that it has not come before.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from functools import partial
from typing import Any, Final
from uuid import uuid4

import aiohttp
import structlog
from yarl import URL

from bridge.background import BackgroundTasks

log = structlog.get_logger(__name__)

RETRY_S: Final = (0.5, 2.0, 10.0)
"""The waits between tries; after the last try the event is given up."""
TIMEOUT_S: Final = 5.0
JSON: Final = {"Content-Type": "application/json"}
MAX_PENDING: Final = 1_000
MAX_PENDING_BYTES: Final = 16 * 2**20
"""How much may wait to be delivered; an event is lost beyond either limit."""

SECRET_PREFIX: Final = "whsec_"
SECRET_BYTES: Final = range(24, 65)


def secret_key(secret: str) -> bytes:
    """Returns the key of a secret such as `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`; without one, nothing.

    Raises ValueError where it is not base64 of 24 to 64 bytes.
    """
    if not secret:
        return b""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:  # and binascii.Error, which is one
        key = b""
    if len(key) not in SECRET_BYTES:
        raise ValueError("must be base64 of 24 to 64 random bytes, as `openssl rand -base64 32` prints")
    return key


class Webhooks:
    """Sends events to one URL, each in a task of its own, so that a slow receiver delays nothing."""

    def __init__(self, url: str, http: aiohttp.ClientSession, secret: str = "") -> None:
        self._url = url
        self._key = secret_key(secret)
        self._name = str(URL(url).origin()) if url else ""
        """What the log calls it: the rest of the URL may hold a password or a token."""
        self._http = http
        self._tasks = BackgroundTasks()
        self._pending_bytes = 0

    def send(self, event: dict[str, Any]) -> None:
        """Sends an event in the background. Does nothing without a URL."""
        if not self._url:
            return
        body = json.dumps(event).encode()
        if len(self._tasks) >= MAX_PENDING or self._pending_bytes + len(body) > MAX_PENDING_BYTES:
            log.error("web-hook dropped: too many are waiting", event_type=event.get("type"))
            return
        self._pending_bytes += len(body)
        task = self._tasks.start(self._deliver(event.get("type"), body))
        task.add_done_callback(partial(self._delivered, len(body)))

    async def close(self, timeout_s: float = TIMEOUT_S) -> None:
        """Waits up to `timeout_s` for what is being sent, then gives up the rest."""
        await self._tasks.close(timeout_s)

    def _delivered(self, size_bytes: int, task: asyncio.Task[None]) -> None:
        self._pending_bytes -= size_bytes

    async def _deliver(self, event_type: str | None, body: bytes) -> None:
        problem = ""
        message_id = f"msg_{uuid4().hex}"
        """The same at each try, so that a receiver can tell that it has had the message before."""
        for wait_s in (*RETRY_S, None):
            try:
                async with (
                    asyncio.timeout(TIMEOUT_S),
                    self._http.post(
                        self._url, data=body, headers=self._headers(message_id, body), allow_redirects=False
                    ) as response,
                ):
                    if response.status < 300:
                        return
                    problem = f"HTTP {response.status}"
                    if 300 <= response.status < 500 and response.status not in (408, 429):
                        break  # the receiver refuses this, however often it is sent
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                reason = error.strerror if isinstance(error, OSError) else None
                problem = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
            if wait_s is not None:
                await asyncio.sleep(wait_s)
        log.error("web-hook failed", url=self._name, event_type=event_type, problem=problem)

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        if not self._key:
            return JSON
        timestamp = str(int(time.time()))
        signed = hmac.digest(self._key, b".".join((message_id.encode(), timestamp.encode(), body)), hashlib.sha256)
        return JSON | {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        }
