"""ENGINE_URLS_FROM: the addresses of replicas that come and go, read over HTTP once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import structlog
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from engine.errors import first_line
from engine.loopback import is_loopback
from engine.replicas.address import Address

log = structlog.get_logger(__name__)

EVERY_S: Final = 1.0
ANSWER_S: Final = 3.0
"""How long an answer may take. Meanwhile bridges go on with the replicas that they know."""
MAX_BYTES: Final = 65_536
MAX_REPLICAS: Final = 1_024


class _Listed(TypedDict):
    replicas: list[str]


_LISTED: Final = TypeAdapter(_Listed)


class Listing:
    """Reads the list again and again. What cannot be read changes nothing."""

    def __init__(self, url: str, learn: Callable[[Sequence[Address]], None], every_s: float = EVERY_S) -> None:
        self.trouble = ""
        """Why it could not be read the last time."""
        self._url = url
        self._learn = learn
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to read it."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Reads it no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(ANSWER_S)) as http:
            while True:
                try:
                    addresses = await self._read(http)
                except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                    self._note(f"the list of replicas cannot be read: {first_line(error)}")
                else:
                    self._note("")
                    self._learn(addresses)
                await asyncio.sleep(self._every_s)

    async def _read(self, http: aiohttp.ClientSession) -> list[Address]:
        async with http.get(self._url, allow_redirects=False) as response:
            if response.status != 200:
                raise ValueError(f"status {response.status}")
            body = await response.content.read(MAX_BYTES + 1)
            while len(body) <= MAX_BYTES and (more := await response.content.read(MAX_BYTES)):
                body += more
        return read_list(body, self._url)

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.warning("the list of replicas cannot be read", error=trouble)
        self.trouble = trouble


def read_list(body: bytes, url: str) -> list[Address]:
    """Returns the addresses in `{"replicas": ["host:7070"]}`. Raises ValueError.

    An address of this machine, to which the token is shown unencrypted, is taken only from this machine.
    """
    if len(body) > MAX_BYTES:
        raise ValueError(f"it is longer than {MAX_BYTES} bytes")
    try:
        listed = _LISTED.validate_json(body)["replicas"]
    except ValidationError:
        raise ValueError('it is not {"replicas": ["host:7070"]}') from None
    if len(listed) > MAX_REPLICAS:
        raise ValueError(f"it has more than {MAX_REPLICAS} replicas")
    addresses = list(dict.fromkeys(Address.read(each) for each in listed))
    if not is_loopback(urlsplit(url).hostname or "") and any(is_loopback(each.host) for each in addresses):
        raise ValueError("it is another machine's and has addresses of this one")
    return addresses
