"""A client of the calls API: registers calls, speaks into them, interrupts them and hangs them up over HTTP."""

from __future__ import annotations

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

    async def register(self, call_id: UUID) -> dict[str, Any]:
        """Announces a call before it connects, as the dialplan does. Raises Rejected."""
        return await self._post("", {"id": str(call_id)})

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
        url = f"{self._base_url}/v1/calls/{path}".rstrip("/")
        try:
            async with self._session.post(url, json=body) as response:
                answer: dict[str, Any] = await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Rejected(f"POST {url}: {error or type(error).__name__}") from None
        if response.status >= 400:
            raise Rejected(f"POST {url}: {answer['error']['message']}")
        return answer
