"""A tool that is called over HTTP, as a YAML file describes it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, Self
from urllib.parse import quote, unquote

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, model_validator
from yarl import URL

from bridge.brains.brain import fill
from bridge.brains.tool_result import ToolResult

MAX_RESULT_CHARS: Final = 4_000
"""How much of a tool's answer the model is shown."""
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
UNDECIDED: Final = frozenset({408, 409, 425, 429})
"""Statuses below 500 that leave open whether the request was, or still is, carried out."""
_ENVIRONMENT: Final = re.compile(r"\$\{(\w+)\}")
_DOTS: Final = frozenset({".", ".."})
"""Parts of a path that lead elsewhere; a caller may choose what fills a part."""


class HttpTool(BaseModel):
    """One tool of the YAML file. The model's arguments become a JSON body, or the query of a GET."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-zA-Z][a-zA-Z0-9_]{0,63}$")
    description: str = Field(min_length=1)
    url: str = Field(pattern=r"^https?://")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: dict[str, str] = {}
    parameters: dict[str, Any] = {"type": "object", "properties": {}}
    timeout_ms: int = Field(default=5_000, ge=1, le=60_000)
    hosts: list[str] = []
    """The hosts that the URL may name, if a variable of the call stands before its path."""
    on_interrupt: Literal["finish", "cancel"] | None = None
    """What becomes of a request at work when the caller interrupts the turn; None: as `finishes` says."""
    say: str = Field(default="", max_length=500)
    """What the caller hears while the tool is at work, if the model has said nothing before it."""

    @model_validator(mode="after")
    def _goes_where_the_file_says(self) -> Self:
        if not self.hosts and "{" in _before_the_path(_ENVIRONMENT.sub("", self.url)):
            raise ValueError("hosts must list what a URL with a variable before its path may name")
        return self

    @property
    def finishes(self) -> bool:
        """Tells whether a request that is at work goes on when the turn is cut.

        Cancelling a request does not undo what it does: the server may have booked the table already, and nobody would
        know. A GET has no effects, so it is not waited for, unless the file says otherwise.
        """
        return self.method != "GET" if self.on_interrupt is None else self.on_interrupt == "finish"

    def address(self, variables: Mapping[str, str]) -> URL:
        """Returns the URL for a call with these variables. Raises ValueError if they would lead elsewhere."""
        text = fill(environment(self.url), {name: quote(value, safe="") for name, value in variables.items()})
        url = URL(text, encoded=True)
        if self.hosts and url.host not in {host.casefold() for host in self.hosts}:
            raise ValueError("the URL's host is not one of the tool's hosts")
        if not _DOTS.isdisjoint(re.split(r"[/\\]", unquote(url.raw_path))):
            raise ValueError("a variable would change the URL's path")
        return url

    async def call(
        self, http: aiohttp.ClientSession, variables: Mapping[str, str], arguments: dict[str, Any], key: str
    ) -> ToolResult:
        """Sends one request and returns its outcome. A failure is told to the model, never raised."""
        try:
            url = self.address(variables)
        except ValueError as error:
            return ToolResult(f"error: {error}")
        headers = {name: fill(environment(value), variables) for name, value in self.headers.items()}
        if IDEMPOTENCY_KEY.casefold() not in map(str.casefold, headers):
            headers[IDEMPOTENCY_KEY] = key
        query = {k: str(v) for k, v in arguments.items()} if self.method == "GET" else None
        body = None if self.method == "GET" else arguments
        try:
            async with (
                asyncio.timeout(self.timeout_ms / 1000),
                # A redirect would take the headers' keys and the caller's data to another server.
                http.request(
                    self.method, url, params=query, json=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                text = await _beginning(answer)
        except TimeoutError:
            return self._unanswered(f"no answer within {self.timeout_ms} ms")
        except aiohttp.ClientConnectorError as error:  # nothing was sent
            return ToolResult(f"error: {type(error).__name__}")
        except (aiohttp.ClientError, OSError) as error:
            return self._unanswered(type(error).__name__)
        except ValueError as error:  # a value unfit for a URL or header
            return ToolResult(f"error: {type(error).__name__}")
        if answer.status < 300:
            return ToolResult(text)
        is_certain = answer.status < 500 and answer.status not in UNDECIDED
        return ToolResult(f"error: HTTP {answer.status}: {text}", is_certain=is_certain)

    def _unanswered(self, reason: str) -> ToolResult:
        caution = "" if self.method == "GET" else "; it may have been done all the same"
        return ToolResult(f"error: {reason}{caution}", is_certain=False)


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """Returns as much of the body as the model is shown."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) >= MAX_RESULT_CHARS * 4:
            break
    return body.decode(errors="replace")[:MAX_RESULT_CHARS]


def _before_the_path(url: str) -> str:
    return re.split(r"[/?#]", url.partition("://")[2])[0]


def environment(text: str) -> str:
    """Returns the text with the environment's variables in place of `${NAME}`."""
    return _ENVIRONMENT.sub(lambda match: os.environ.get(match.group(1), ""), text)
