"""Asks another system about a caller before the agent greets: who it is, what is open. The answer fills `{name}`s."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import aiohttp
import structlog
from yarl import URL

from bridge.conversation.registration import MAX_CHARS, MAX_VALUE_CHARS, MAX_VARIABLES, NAME

log = structlog.get_logger(__name__)

MAX_ANSWER_BYTES: Final = 65_536


class CallerLookup:
    """Sends what is known of a call to one URL, and returns the variables of the answer."""

    def __init__(self, url: str, timeout_ms: int, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._timeout_s = timeout_ms / 1000
        self._http = http

    async def variables(self, call_id: UUID, known: Mapping[str, str]) -> dict[str, str]:
        """Returns the answer's variables, or none if it does not come in time or is no answer. Never raises.

        The answer is a JSON object of texts, numbers, true, false or null, such as `{"customer": "Ann Lee", "orders":
        2}`. What cannot be a variable of a call is left out.
        """
        if not self._url:
            return {}
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._ask(call_id, known)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RecursionError) as error:
            url = str(URL(self._url).origin())
            log.warning("the caller was not looked up", call=str(call_id), url=url, problem=_problem(error))
            return {}
        return _usable(call_id, answer, known)

    async def _ask(self, call_id: UUID, known: Mapping[str, str]) -> dict[str, Any]:
        body = {"call_id": str(call_id), **known}
        async with self._http.post(self._url, json=body, allow_redirects=False) as response:
            if response.status != 200:
                raise ValueError(f"HTTP {response.status}")
            content = await response.content.read(MAX_ANSWER_BYTES + 1)
            while content and len(content) <= MAX_ANSWER_BYTES and not response.content.at_eof():
                content += await response.content.read(MAX_ANSWER_BYTES + 1 - len(content))
        if len(content) > MAX_ANSWER_BYTES:
            raise ValueError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
        answer = json.loads(content)
        if not isinstance(answer, dict):
            raise ValueError("the answer is no JSON object")
        return answer


def _usable(call_id: UUID, answer: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, str]:
    """Returns what of an answer can be variables, as texts, as far as a call has room for them."""
    found: dict[str, str] = {}
    count, chars = len(known), sum(len(name) + len(value) for name, value in known.items())
    left_out = []
    for name, value in answer.items():
        text = _text(value)
        fits = text is not None and len(text) <= MAX_VALUE_CHARS and chars + len(name) + len(text) <= MAX_CHARS
        if text is None or not fits or count >= MAX_VARIABLES or not re.fullmatch(NAME, name):
            left_out.append(name[:64])
            continue
        found[name] = text
        count, chars = count + 1, chars + len(name) + len(text)
    if left_out:
        log.warning("some of what was looked up cannot be variables", call=str(call_id), names=left_out[:8])
    return found


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, (int, float)):
        return "" if value is None else str(value)
    return value if isinstance(value, str) else None


def _problem(error: BaseException) -> str:
    """Returns what went wrong without the URL, which may hold a password."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (
        str(error)
        if isinstance(error, ValueError) and not isinstance(error, aiohttp.InvalidURL)
        else type(error).__name__
    )
