"""The answering end of a link: one process that speaks with the engine of this one."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final

import structlog

from engine.link.connection import Connection
from engine.link.frames import BEFORE_TOKEN, TO_ENGINE, Frame, Kind, WrongBytes
from engine.link.messages import pack_error, pack_starts, read_sentence
from engine.link.playbacks import Playbacks
from engine.speech import Engine, Priority, SpeechError, Style

log = structlog.get_logger(__name__)

PIECE_SAMPLES: Final = 24_000
"""What is sent of a sentence at once, at most. Engines make shorter pieces."""
MAX_SENTENCES: Final = 4_096
"""More than a process with a thousand calls asks for at once: each of them hears one and has the next one made."""


class Peer:
    """Speaks what it is asked for over its `connection`, once it has been shown the token, where there is one."""

    def __init__(
        self,
        engine: Engine,
        playbacks: Playbacks,
        token: str,
        on_known: Callable[[Peer], None],
        on_gone: Callable[[Peer], None],
    ) -> None:
        """`on_known` is told once it may be spoken with, `on_gone` when the connection is lost."""
        self.connection = Connection(TO_ENGINE if not token else BEFORE_TOKEN, self._heard, self._lost, self._made)
        self.known = False
        """Whether it may be spoken with."""
        self._engine = engine
        self._playbacks = playbacks
        self._token = token
        self._on_known, self._on_gone = on_known, on_gone
        self._sentences: dict[int, asyncio.Task[None]] = {}

    def greet(self, hello: bytes) -> None:
        """Tells what the engine is."""
        self.connection.send(Kind.HELLO, 0, hello)

    def tell_room(self, room: bytes) -> None:
        """Tells how the engine does."""
        self.connection.send(Kind.ROOM, 0, room)

    async def close(self) -> None:
        """Ends every sentence and closes the connection."""
        self.connection.close()
        sentences = tuple(self._sentences.values())
        for sentence in sentences:
            sentence.cancel()
        await asyncio.gather(*sentences, return_exceptions=True)

    def _made(self) -> None:
        if not self._token:
            self._welcome()

    def _welcome(self) -> None:
        self.known = True
        self.connection.take(TO_ENGINE)
        self._on_known(self)

    def _heard(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.TOKEN:
                self._check(frame.payload)
            case Kind.OPEN:
                self._open(frame)
            case Kind.CANCEL if frame.number in self._sentences:
                self._sentences[frame.number].cancel()

    def _check(self, token: bytes) -> None:
        if self.known:
            return  # nobody wants one here
        if hmac.compare_digest(token, self._token.encode()):
            self._welcome()
            return
        log.warning("somebody asks for speech with a wrong token")
        self.connection.send(Kind.FAILED, 0, pack_error(SpeechError("it refuses the token: ENGINE_TOKEN differs")))
        self.connection.close()

    def _open(self, frame: Frame) -> None:
        number = frame.number
        if number in self._sentences or len(self._sentences) >= MAX_SENTENCES:
            raise WrongBytes(f"a sentence too many, with number {number}")

        def tell(starts: Sequence[int]) -> None:
            self.connection.send(Kind.WORDS, number, pack_starts(starts))

        text, style = read_sentence(frame.payload, asyncio.get_running_loop().time(), tell)
        self._sentences[number] = task = asyncio.get_running_loop().create_task(self._speak(number, text, style))
        task.add_done_callback(partial(self._done, number))

    def _done(self, number: int, task: asyncio.Task[None]) -> None:
        del self._sentences[number]
        self._playbacks.end((self, number))
        if task.cancelled():
            self.connection.send(Kind.END, number)

    def _lost(self, reason: str) -> None:
        for sentence in self._sentences.values():
            sentence.cancel()
        self._on_gone(self)

    async def _speak(self, number: int, text: str, style: Style) -> None:
        connection, now_s = self.connection, asyncio.get_running_loop().time
        heard_at_s = max(now_s(), style.needed_at_s or 0.0) - style.heard_s
        self._playbacks.begin((self, number), heard_at_s if style.priority is Priority.CALL else None)
        try:
            async with aclosing(self._engine.stream(text, style)) as pieces:
                async for pcm in pieces:
                    for start in range(0, pcm.size, PIECE_SAMPLES):
                        piece = pcm[start : start + PIECE_SAMPLES].astype("<i2", copy=False)
                        connection.send(Kind.PCM, number, piece.tobytes())
                    self._playbacks.made((self, number), pcm.size / self._engine.rate_hz(style), now_s())
                    await connection.writable()
        except SpeechError as error:
            connection.send(Kind.FAILED, number, pack_error(error))
        except Exception as error:  # one sentence's fault must not leave its caller in silence
            log.exception("a sentence failed")
            connection.send(Kind.FAILED, number, pack_error(SpeechError(f"the engine failed: {error!r}")))
        else:
            connection.send(Kind.END, number)
