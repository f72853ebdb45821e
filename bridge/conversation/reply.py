"""One turn of the agent: a brain's pieces on their way to the caller, and what the caller heard of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import structlog

from bridge.brains.brain import BrainError, Fallback, HangUp, Piece, Say, Transfer
from bridge.conversation.trace import Mark, Trace
from bridge.line.call import Call
from bridge.line.playout import Utterance
from engine.growing_text import GrowingText
from engine.speech import UnknownVoice
from engine.text import SLICE_CHARS, SentenceSplitter

log = structlog.get_logger(__name__)

MAX_FILLERS: Final = 1
"""Said in a turn: a second "one moment" is worse than silence."""


@dataclass(frozen=True, slots=True)
class Filler:
    """What is said while an answer is slow."""

    text: str = ""
    after_ms: int = 0
    """0 for never."""


class Reply:
    """The agent's turn. `pieces` None: it is nothing but what others put into `utterances`."""

    def __init__(
        self,
        call: Call,
        pieces: AsyncGenerator[Piece] | None,
        trace: Trace,
        splitter: SentenceSplitter,
        *,
        on_done: Callable[[Reply], None],
        on_failed: Callable[[Reply, BrainError], None],
        filler: Filler | None = None,
        now_s: Callable[[], float],
    ) -> None:
        self.trace = trace
        self.protect_ms = 0
        """Of its first utterance, not to be interrupted."""
        self.action: Transfer | HangUp | Fallback | None = None
        """To be done when all of it has been heard."""
        self.utterances: list[Utterance] = []
        self.has_words = False
        """The brain has given it something to say."""
        self.started = False
        """Its first frame has left."""
        self.started_ms = 0
        """When that was, from the answer on."""
        self._call = call
        self._splitter = splitter
        self._on_done = on_done
        self._on_failed = on_failed
        self._filler = filler or Filler()
        self._now_s = now_s
        self._text: GrowingText | None = None
        self._fillers: list[Utterance] = []
        self._thinking = pieces is not None
        self._task = None if pieces is None else call.spawn(self._run(pieces))

    def utterance_done(self) -> None:
        """One of its utterances was played to its end."""
        if not self._thinking and all(utterance.done for utterance in self.utterances):
            self._on_done(self)

    def cancel(self) -> None:
        """Make no more of it."""
        self._thinking = False
        if self._task is not None:
            self._task.cancel()

    def heard_text(self) -> str:
        """What the caller heard of it."""
        return " ".join(text for utterance in self.utterances if (text := utterance.heard_text().strip()))

    def is_unspeakable(self) -> bool:
        """Of one that is over: it had something to say, and the caller heard none of it. A filler is no answer."""
        answers = [utterance for utterance in self.utterances if utterance not in self._fillers]
        return self.has_words and not any(utterance.heard_text().strip() for utterance in answers)

    async def _run(self, pieces: AsyncGenerator[Piece]) -> None:
        try:
            async with aclosing(pieces):
                await self._take(pieces)
        except BrainError as error:
            self._on_failed(self, error)
            return
        except Exception as error:  # whatever it is, the caller must not be left in silence
            log.exception("the brain broke down", call=str(self._call.id))
            self._on_failed(self, BrainError(f"{type(error).__name__}: {error}"))
            return
        finally:
            self._end_text()
            self._thinking = False
        if all(utterance.done for utterance in self.utterances):
            self._on_done(self)

    async def _take(self, pieces: AsyncGenerator[Piece]) -> None:
        fillers = MAX_FILLERS if self._filler.text and self._filler.after_ms else 0
        while True:
            upcoming = asyncio.ensure_future(anext(pieces, None))
            try:
                if fillers:
                    await asyncio.wait({upcoming}, timeout=self._filler.after_ms / 1000)
                    if not upcoming.done() and self._call.playout.current is None:
                        fillers -= 1
                        self._say(Say(self._filler.text))
                        self._fillers = self.utterances[-1:]
                piece = await upcoming
            finally:
                if not upcoming.done():
                    upcoming.cancel()
                    await asyncio.wait({upcoming})
            match piece:
                case None:
                    return
                case str():
                    self.has_words = True
                    self._write(piece)
                case Say():
                    self.has_words = True
                    self._end_text()
                    self.trace.mark(Mark.FIRST_TOKEN, self._now_s())
                    self.trace.mark(Mark.FIRST_SENTENCE, self._now_s())
                    self._say(piece)
                case _:
                    self.action = piece

    def _write(self, text: str) -> None:
        """More of the text that is being spoken."""
        if self._text is None:
            self._text = GrowingText()
            self.utterances.append(self._call.say(self._text))
        self.trace.mark(Mark.FIRST_TOKEN, self._now_s())
        if Mark.FIRST_SENTENCE not in self.trace.at_s and self._ends_a_sentence(text):
            self.trace.mark(Mark.FIRST_SENTENCE, self._now_s())
        self._text.write(text)

    def _ends_a_sentence(self, text: str) -> bool:
        """Looks no further than to the first that ends: where nothing streams, this is all of the answer at once."""
        return any(self._splitter.feed(text[start : start + SLICE_CHARS]) for start in range(0, len(text), SLICE_CHARS))

    def _end_text(self) -> None:
        if self._text is not None:
            self.trace.mark(Mark.FIRST_SENTENCE, self._now_s())
            self._text.end()
            self._text = None

    def _say(self, speech: Say) -> None:
        try:
            utterance = self._call.say(speech.text, voice=speech.voice, interruptible=speech.interruptible)
        except UnknownVoice as error:
            log.warning("said in the call's own voice", call=str(self._call.id), error=str(error))
            utterance = self._call.say(speech.text, interruptible=speech.interruptible)
        self.utterances.append(utterance)
