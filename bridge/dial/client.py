"""A client of the calls API: registers calls, speaks into them, interrupts them and hangs them up over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import aiohttp


class Rejected(Exception):
    """The server answered with an error, or not at all. The text is fit for an administrator."""


class CallsClient:
    """Speaks to the calls API at `base_url`, with the server's API_KEY if it has one. An async context manager."""

    def __init__(self, base_url: str, api_key: str = "") -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers, connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=10)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def register(self, call_id: UUID, **variables: str) -> dict[str, Any]:
        """Announces a call with its variables before it connects, as the dialplan does. Raises Rejected."""
        return await self._post("", {"id": str(call_id), **variables})

    async def state(self, call_id: UUID) -> dict[str, Any]:
        """Returns a call, in progress or ended, as the calls API shows it. Raises Rejected."""
        return await self._request("GET", str(call_id))

    async def events(self, call_id: UUID) -> AsyncGenerator[dict[str, Any]]:
        """Yields the lines of a call's journal, from its first one on, until the call ends. Raises Rejected."""
        url = f"{self._base_url}/v1/calls/{call_id}/events"
        try:
            async with self._session.ws_connect(url, params={"journal": "1"}) as socket:
                async for message in socket:
                    yield json.loads(message.data)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Rejected(f"GET {url}: {error or type(error).__name__}") from None

    async def say(self, call_id: UUID, text: str, voice: str | None = None) -> dict[str, Any]:
        """Has a text spoken into a call. Raises Rejected."""
        return await self._post(f"{call_id}/say", {"text": text} | ({} if voice is None else {"voice": voice}))

    async def interrupt(self, call_id: UUID) -> dict[str, Any]:
        """Silences a call at once and returns what was heard of the utterance. Raises Rejected."""
        return await self._post(f"{call_id}/interrupt", None)

    async def hang_up(self, call_id: UUID) -> dict[str, Any]:
        """Ends a call once everything has been said. Raises Rejected."""
        return await self._post(f"{call_id}/hangup", None)

    async def _post(self, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        return await self._request("POST", path, body)

    async def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        url = f"{self._base_url}/v1/calls/{path}".rstrip("/")
        try:
            async with self._session.request(method, url, json=body) as response:
                answer: dict[str, Any] = await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Rejected(f"{method} {url}: {error or type(error).__name__}") from None
        if response.status >= 400:
            raise Rejected(f"{method} {url}: {answer['error']['message']}")
        return answer
