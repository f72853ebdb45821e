"""One replica: a link to it that is made again whenever it is lost."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncGenerator
from typing import Any, Final

import structlog

from engine.errors import first_line
from engine.link.link import Link, LinkRefused
from engine.link.messages import Hello, Room
from engine.replicas.address import Address
from engine.replicas.choice import Candidate
from engine.replicas.heartbeat import EVERY_S, Heartbeat
from engine.speech import Pcm, SpeechError, Style

log = structlog.get_logger(__name__)

CONNECT_S: Final = 3.0
"""How long connecting, and encrypting, may take."""
HELLO_S: Final = 3.0
"""How long a replica, which is started already, may take to say what it is."""
RECONNECT_DELAYS_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Before another attempt; the last one again and again. Half of each is left to chance, so that not all bridges come to
a replica that is started again at once."""
SENTENCES_EVERY_S: Final = 1.0
"""How often it is looked whether something comes of every sentence."""
STEADY_S: Final = 10.0
"""A link that has lasted for so long is not one that breaks whenever it is made."""


class _WrongRate(SpeechError):
    """A replica makes sound of another sample rate."""


REFUSALS: Final = (LinkRefused, ssl.SSLCertVerificationError, _WrongRate)
"""The errors that somebody has to mend."""


class Replica:
    """Keeps a link to one address, and knows how much room there is."""

    def __init__(self, address: Address, token: str, sample_rate_hz: int) -> None:
        self.address = address
        self.hello: Hello | None = None
        """What it is, as it said last."""
        self.losses = 0
        """How many times a link to it was lost."""
        self.trouble = "it was not reached yet"
        """Why there is no link; empty where there is one."""
        self.refused = False
        """Whether that is a reason that no waiting mends: token, certificate or sample rate do not fit."""
        self.tried = asyncio.Event()
        """Set once it is known whether it can be reached."""
        self._token = token
        self._tls: ssl.SSLContext | None = None
        self._sample_rate_hz = sample_rate_hz
        self._link: Link | None = None
        self._asked = 0
        """The sentences that were asked for since it told how many it has."""
        self._task: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether it can be asked, and speaks."""
        room = self._room
        return room is not None and room.status.ready

    @property
    def linked(self) -> bool:
        """Whether there is a link to it, whatever its engine does."""
        return self._link is not None and not self._link.lost

    @property
    def draining(self) -> bool:
        """Whether it is about to end, and others are to be asked."""
        return self._room is not None and self._room.draining

    @property
    def _room(self) -> Room | None:
        return self._link.room if self._link is not None and not self._link.lost else None

    def start(self, tls: ssl.SSLContext | None) -> None:
        """Connects, again and again; over TLS where its address says so."""
        self._tls = tls
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Connects no more. It has no link."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Ends every sentence and stays disconnected."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._link is not None:
            self._link.close()

    def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        """Yields the sound of a sentence. Raises LinkLost, or the engine's own SpeechError."""
        assert self._link is not None, "a replica is asked only while it is up"
        self._asked += 1
        return self._link.stream(sentence, style)

    def candidate(self) -> Candidate[Replica]:
        """Returns how it looks to a call that is to be spoken for."""
        room = self._room
        assert room is not None, "only a replica that is up is chosen"
        return Candidate(self, room.sentences + self._asked, room.places, room.slack_s)

    def told(self) -> dict[str, Any]:
        """Returns its part of /health."""
        told: dict[str, Any] = {"replica": str(self.address), "up": self.up, "losses": self.losses}
        if (room := self._room) is None:
            return told | {"trouble": self.trouble}
        if not room.status.ready:
            told["trouble"] = "its engine is not ready"
        return told | {
            "engine": self.hello.name if self.hello is not None else "",
            "draining": room.draining,
            "sentences": room.sentences + self._asked,
            "places": room.places,
            "slack_ms": None if room.slack_s is None else round(room.slack_s * 1000),
        }

    @property
    def model_id(self) -> str:
        """The model that it speaks with, where that is known."""
        return self._room.status.model_id if self._room is not None else ""

    async def _run(self) -> None:
        attempt = 0
        clock = asyncio.get_running_loop().time
        while True:
            begun_s = clock()
            try:
                self._link = await self._connect()
            except (OSError, SpeechError) as error:
                self.refused = isinstance(error, REFUSALS)
                self._note(first_line(error))
            else:
                log.info("a replica is there", replica=str(self.address))
                self.trouble, self.refused = "", False
                self.tried.set()
                await self._watch(self._link)
                self.losses += 1
                self._note(self._link.lost)
            self.tried.set()
            attempt = 0 if clock() - begun_s > STEADY_S else attempt + 1
            delay_s = RECONNECT_DELAYS_S[min(attempt, len(RECONNECT_DELAYS_S) - 1)]
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))

    def _note(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.warning("a replica is not there", replica=str(self.address), error=trouble)
        self.trouble = trouble

    async def _connect(self) -> Link:
        """Returns a link over which the replica has said what it is. Raises OSError or SpeechError."""
        link = Link(self._token, self._told_room)
        host = self.address.host
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: link.connection,
                    host,
                    self.address.port,
                    ssl=self._tls if self.address.tls else None,
                    server_hostname=host if self.address.tls else None,
                )
            hello = await link.greeted(HELLO_S)
            if hello.sample_rate_hz != self._sample_rate_hz:
                raise _WrongRate(f"it speaks at {hello.sample_rate_hz} Hz; {self._sample_rate_hz} Hz is wanted")
        except BaseException:
            link.connection.abort("it was not of use")
            raise
        self.hello = hello
        return link

    async def _watch(self, link: Link) -> None:
        """Waits until a link is lost, and ends one over which nothing comes any more."""
        heartbeat, clock = Heartbeat(), asyncio.get_running_loop().time
        looked_s = clock()
        while not link.lost:
            try:
                async with asyncio.timeout(EVERY_S):
                    await link.ended.wait()
            except TimeoutError:
                if heartbeat.stopped(link.connection.read):
                    link.connection.abort("it says nothing any more")
                if clock() - looked_s >= SENTENCES_EVERY_S:
                    looked_s = clock()
                    link.fail_silent()

    def _told_room(self, room: Room) -> None:
        self._asked = 0
