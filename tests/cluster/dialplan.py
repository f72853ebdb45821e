"""The dialplan's part in a call, as `talkspurt dialplan --resume` writes it for a chain of servers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from uuid import UUID

import aiohttp

CONNECT_S: Final = 1.0
ANSWER_S: Final = 2.0
"""CURLOPT(conntimeout) and CURLOPT(httptimeout)."""
_OTHER: Final = re.compile(r"[^a-zA-Z0-9,.\-_*#+]")
"""What FILTER() takes out of an answer."""


@dataclass(frozen=True, slots=True)
class Door:
    """One server of the chain, as Asterisk reaches it."""

    http_url: str
    audiosocket_port: int


class After(Enum):
    """Where a call goes whose connection has ended."""

    CUT = auto()
    """To whichever server goes on with it."""
    NEXT_SERVER = auto()
    TAKEN = auto()
    """To where the agent sent it, or the fallback."""


class Dialplan:
    """What it asks servers by CURL(), which tells no status: only a text, or none."""

    def __init__(self, chain: Sequence[Door], http: aiohttp.ClientSession) -> None:
        self.chain = chain
        self._http = http

    async def announce(self, door: Door, call_id: UUID, about: dict[str, str]) -> bool:
        """Tells a server of a call that is to connect. Returns whether it takes it."""
        answer = await self._curl(f"{door.http_url}/v1/calls", ANSWER_S, {"id": str(call_id), **about})
        return "expires_in" in answer

    async def after(self, door: Door, call_id: UUID) -> After:
        """Asks where a call goes on that is over."""
        following = _OTHER.sub("", await self._curl(f"{door.http_url}/v1/calls/{call_id}/next", ANSWER_S))
        if following == "cut-off" or (not following and not await self.answers(door, ANSWER_S)):
            return After.CUT
        return After.NEXT_SERVER if following == "not-found" else After.TAKEN

    async def answers(self, door: Door, timeout_s: float) -> bool:
        """Tells whether a server says anything."""
        return bool(await self._curl(f"{door.http_url}/health", timeout_s))

    async def _curl(self, url: str, timeout_s: float, form: dict[str, str] | None = None) -> str:
        timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(CONNECT_S, timeout_s))
        try:
            method = "GET" if form is None else "POST"
            async with self._http.request(method, url, data=form, timeout=timeout) as response:
                return await response.text()
        except (aiohttp.ClientError, TimeoutError):
            return ""
