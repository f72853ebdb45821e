"""The asking end of a link: sentences out, their sound in, and what the engine tells of itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from itertools import count, islice
from typing import Final

import numpy as np

from engine.link.arrived import SILENT_LOOKS, Arrived
from engine.link.connection import Connection
from engine.link.frames import FROM_ENGINE, Frame, Kind, WrongBytes
from engine.link.incoming import Incoming
from engine.link.messages import Hello, Room, pack_error, pack_sentence, read_error, read_hello, read_room, read_starts
from engine.speech import CannotClone, Pcm, SpeechError, Style

_SAMPLES: Final = np.dtype("<i2")
ROOMS_A_SECOND: Final = 100
"""Ten come. More tell nothing, and each costs as much as several pieces of sound."""
FAILED_A_TURN: Final = 4
"""The sentences that fail before the loop's other tasks get their turn, where the connection is lost."""
ROOMS_AT_ONCE: Final = 2_000
"""So many may have come before they are read: this process may have stood still, or taken long to start."""


class LinkLost(SpeechError):
    """The connection to the engine was lost, perhaps in the middle of a sentence."""


class LinkRefused(LinkLost):
    """The engine speaks with others, but not with this process: it wants another token."""


class Link:
    """One connection to an engine, for many sentences at once. `connection` is to be given to the event loop."""

    def __init__(
        self, token: str = "", on_room: Callable[[Room], None] = lambda room: None, *, is_own: bool = False
    ) -> None:
        """`on_room` is told whenever the engine has told how much room it has.

        Only an engine that `is_own`, one of this very server, may say anew what it is.
        """
        self.connection = Connection(FROM_ENGINE, self._heard, self._on_lost, self._on_made)
        self.lost = ""
        """The reason why nothing more can be spoken."""
        self.ended = asyncio.Event()
        """Set once `lost` is."""
        self.hello: Hello | None = None
        self.room: Room | None = None
        self._token = token
        self._is_own = is_own
        self._refused = False
        self._on_room = on_room
        self._greeted = asyncio.Event()
        self._numbers = count(1)
        self._sentences: dict[int, tuple[Incoming, Arrived | None]] = {}
        """What was asked for and has not ended, with None where nobody listens any more."""
        self._rooms = 0
        self._made_s = 0.0

    async def greeted(self, timeout_s: float) -> Hello:
        """Waits until the engine has said what it is. Raises LinkLost or LinkRefused."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._greeted.wait()
        except TimeoutError:
            raise LinkLost(f"the engine did not say what it is within {timeout_s:g} s") from None
        if self._refused:
            raise LinkRefused(self.lost)
        if self.hello is None or self.lost:
            raise LinkLost(self.lost)
        return self.hello

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        """Yields the sound of a sentence. Raises LinkLost, or the engine's own SpeechError.

        Voices of recordings are not imitated over a link.
        """
        if self.lost:
            raise LinkLost(self.lost)
        if style.reference is not None:
            raise CannotClone(self.hello.name if self.hello is not None else "linked")
        number, incoming, arrived = next(self._numbers), Incoming(len(sentence)), Arrived(style)
        self._sentences[number] = incoming, arrived
        self.connection.send(Kind.OPEN, number, pack_sentence(sentence, style, asyncio.get_running_loop().time()))
        try:
            while True:
                frame = arrived.frames.popleft() if arrived.frames else await arrived.next()
                match frame.kind:
                    case Kind.PCM:
                        yield np.frombuffer(frame.payload, _SAMPLES)
                    case Kind.WORDS if style.on_word_starts is not None:
                        style.on_word_starts(read_starts(frame.payload))
                    case Kind.END:
                        return
                    case Kind.FAILED:
                        raise LinkLost(self.lost) if self.lost else read_error(frame.payload)
        finally:
            if not incoming.ended:
                self._sentences[number] = incoming, None
                self.connection.send(Kind.CANCEL, number)

    def fail_silent(self) -> None:
        """Fails those sentences of calls of which nothing comes. It is to be called every second."""
        now_s = asyncio.get_running_loop().time()
        for number, (_, arrived) in self._sentences.items():
            if arrived is not None and arrived.stays_away(now_s):
                error = SpeechError(f"nothing of a sentence came for {SILENT_LOOKS} s")
                arrived.put(Frame(Kind.FAILED, number, pack_error(error)))

    def close(self) -> None:
        """Ends every sentence and closes the connection."""
        self.connection.close()

    def _on_made(self) -> None:
        self._made_s = asyncio.get_running_loop().time()
        # An empty one is shown too, so that an engine that wants one says so at once.
        self.connection.send(Kind.TOKEN, 0, self._token.encode())

    def _heard(self, frame: Frame) -> None:
        if frame.number in self._sentences:
            self._pass_on(frame)
        elif frame.kind == Kind.ROOM:
            self._take_room(frame)
        elif frame.kind == Kind.HELLO and (self.hello is None or self._is_own):
            self.hello = read_hello(frame.payload)
            self._greeted.set()
        elif frame.kind == Kind.FAILED and not frame.number:
            self._refused = True
            self.connection.abort(str(read_error(frame.payload)))
        else:
            raise WrongBytes(f"a frame of kind {frame.kind} for sentence {frame.number}, which was not asked for")

    def _pass_on(self, frame: Frame) -> None:
        incoming, arrived = self._sentences[frame.number]
        incoming.check(frame)
        if frame.kind == Kind.FAILED:
            read_error(frame.payload)  # it is checked here, where a wrong one closes the link
        if incoming.ended:
            del self._sentences[frame.number]
        if arrived is not None:
            arrived.put(frame)

    def _take_room(self, frame: Frame) -> None:
        self._rooms += 1
        if self._rooms > ROOMS_AT_ONCE + ROOMS_A_SECOND * (asyncio.get_running_loop().time() - self._made_s):
            raise WrongBytes("a flood of news of how the engine does")
        self.room = read_room(frame.payload)
        self._on_room(self.room)

    def _on_lost(self, reason: str) -> None:
        self.lost = reason or "the connection to the engine is lost"
        self.ended.set()
        self._greeted.set()
        self._fail_some()

    def _fail_some(self) -> None:
        """Fails some sentences, and the rest in the loop's next turns: each has another engine asked for its rest."""
        for number in tuple(islice(self._sentences, FAILED_A_TURN)):
            incoming, arrived = self._sentences.pop(number)
            incoming.ended = True
            if arrived is not None:
                arrived.put(Frame(Kind.FAILED, number, b""))
        if self._sentences:
            asyncio.get_running_loop().call_soon(self._fail_some)
