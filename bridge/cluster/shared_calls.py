"""What the bridges know together of each call: a few keys in Redis, each of which goes by itself.

    talkspurt:announced:ID   JSON: the variables of a call that is to connect; taken by the bridge to which it comes
    talkspurt:call:ID        a hash: `at`, the bridge that has or had it; `over`; `next`; `memory`, JSON
    talkspurt:bridge:URL     whatever: this bridge runs

No command is waited for longer than `TIMEOUT_S`.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import structlog

from bridge.conversation.memory import Memory

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 0.5
"""How long a command may take. A dialplan waits two seconds for an answer."""
CONNECTIONS: Final = 64
"""How many commands may be under way at once."""
KEPT_S: Final = 600
"""How long a call that is over is known."""
UNLIMITED_S: Final = 24 * 3_600
"""How long a call in progress is known after its latest turn, where MAX_CALL_S does not say how long calls last."""


BEAT_S: Final = 2.5
"""A bridge that has not said for so long that it runs hangs, or is gone. Each says so once a second."""


class NotReached(Exception):
    """Redis does not answer in time, or not as it should."""


@dataclass(frozen=True, slots=True)
class SharedCall:
    """What is known of a call that some bridge has, or had."""

    at: str
    """Where that bridge is reached."""
    over: bool
    next: str
    """Where the dialplan goes on, once it is over."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is to be known of a call from now on."""

    call_id: UUID
    over: bool
    next: str
    memory: Memory | None
    """None where no words may be kept."""


class SharedCalls:
    """The calls of all bridges. Its methods raise NotReached."""

    def __init__(
        self, redis: Redis, at: str, max_call_s: float = 0.0, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`at` is where the others reach this bridge."""
        self.at = at
        self.reached: bool | None = None
        """Whether Redis has answered the latest command; None before there was one."""
        self._redis = redis
        self._now_s = now_s
        self._since_s = now_s()
        self._live_s = math.ceil(max_call_s) + KEPT_S if max_call_s else UNLIMITED_S

    def lasting_s(self) -> float:
        """Returns for how many seconds `reached` has been what it is."""
        return self._now_s() - self._since_s

    async def beat(self) -> None:
        """Says that this bridge runs; so it is learnt whether Redis answers."""
        async with self._in_time():
            await self._redis.set(_bridge(self.at), 1, px=math.ceil(BEAT_S * 1000))

    async def runs(self, at: str) -> bool:
        """Tells whether the bridge that is reached there has said lately that it runs."""
        async with self._in_time():
            return bool(await self._redis.exists(_bridge(at)))

    async def announce(self, call_id: UUID, variables: Mapping[str, str], ttl_s: float) -> None:
        """Lets every bridge know the variables of a call that is to connect."""
        async with self._in_time():
            await self._redis.set(_announced(call_id), json.dumps(variables), px=math.ceil(ttl_s * 1000))

    async def announced(self, call_id: UUID) -> dict[str, str] | None:
        """Returns the variables of a call that is to connect; None where nothing is known of it."""
        async with self._in_time():
            return _read(await self._redis.get(_announced(call_id)))

    async def claim(self, call_id: UUID) -> dict[str, str] | None:
        """Returns them to the bridge to which the call comes, and to no other."""
        async with self._in_time():
            return _read(await self._redis.getdel(_announced(call_id)))

    async def find(self, call_id: UUID) -> SharedCall | None:
        """Returns what is known of a call that some bridge has, or had lately."""
        async with self._in_time():
            at, over, following = map(_text, await self._redis.hmget(_call(call_id), ["at", "over", "next"]))
        return SharedCall(at, over == "1", following) if at else None

    async def elsewhere(self, call_ids: Sequence[UUID]) -> list[UUID]:
        """Returns those of these calls that another bridge has, or had lately."""
        async with self._in_time():
            pipeline = self._redis.pipeline(transaction=False)
            for call_id in call_ids:
                pipeline.hget(_call(call_id), "at")
            places = map(_text, await pipeline.execute())
        return [call_id for call_id, at in zip(call_ids, places, strict=True) if at not in ("", self.at)]

    async def memory(self, call_id: UUID) -> Memory | None:
        """Returns what a call needs that continues this one."""
        async with self._in_time():
            kept = _read(await self._redis.hget(_call(call_id), "memory"))
        try:
            return Memory(**kept) if kept is not None else None
        except TypeError:  # of a bridge of another version
            log.warning("what is known of the call is not understood", call=str(call_id))
            return None

    async def write(self, records: Sequence[Record]) -> None:
        """Lets every bridge know these calls as they are now."""
        async with self._in_time():
            pipeline = self._redis.pipeline(transaction=False)
            for record in records:
                key = _call(record.call_id)
                fields: Mapping[Any, Any] = {
                    "at": self.at,
                    "over": int(record.over),
                    "next": record.next,
                }
                if record.memory is not None:
                    fields = {**fields, "memory": json.dumps(asdict(record.memory))}
                pipeline.hset(key, mapping=fields)
                pipeline.expire(key, KEPT_S if record.over else self._live_s)
                pipeline.unlink(_announced(record.call_id))
            await pipeline.execute()

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(TIMEOUT_S):
                yield
        except (RedisError, OSError) as error:  # the time that is up is an OSError
            if self.reached is not False:
                log.error("Redis does not answer", error=str(error) or type(error).__name__)
            self._note(reached=False)
            raise NotReached("Redis does not answer (REDIS_URL)") from error
        if self.reached is False:
            log.info("Redis answers again")
        self._note(reached=True)

    def _note(self, *, reached: bool) -> None:
        if reached is not self.reached:
            self.reached, self._since_s = reached, self._now_s()


def connect(redis_url: str, at: str, max_call_s: float) -> SharedCalls:
    """Returns the calls that are shared by this Redis, to which it connects as it is needed."""
    from redis.asyncio import Redis

    redis = Redis.from_url(
        redis_url,
        socket_connect_timeout=TIMEOUT_S,
        socket_timeout=None,  # with one, Python 3.11 loses a cancel while a command is sent, and `stop` would hang
        max_connections=CONNECTIONS,
        retry=None,
        client_name="talkspurt",
    )
    return SharedCalls(redis, at, max_call_s)


def _announced(call_id: UUID) -> str:
    return f"talkspurt:announced:{call_id}"


def _call(call_id: UUID) -> str:
    return f"talkspurt:call:{call_id}"


def _bridge(at: str) -> str:
    return f"talkspurt:bridge:{at}"


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def _read(value: bytes | str | None) -> dict[str, Any] | None:
    try:
        read = json.loads(value) if value is not None else None
    except ValueError:
        log.warning("what Redis holds of a call is no JSON")
        return None
    return read if isinstance(read, dict) else None
