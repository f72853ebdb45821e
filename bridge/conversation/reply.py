"""One turn of the agent: it takes a brain's pieces to the caller, and knows what the caller heard of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import structlog

from bridge.brains.brain import AfterTurn, BrainError, BreakOff, EndText, Piece, Say, SwitchLanguage
from bridge.conversation.trace import Mark, TurnTrace
from bridge.conversation.unheard_text import rest_of
from bridge.line.call import Call
from bridge.line.utterance import Utterance
from engine.growing_text import GrowingText
from engine.speech import UnknownVoice

log = structlog.get_logger(__name__)

MAX_FILLERS: Final = 1
"""How many fillers are said in a turn: a second "one moment" is worse than silence."""


@dataclass(frozen=True, slots=True)
class Filler:
    """The text that is said while an answer is slow."""

    text: str = ""
    after_ms: int = 0
    """How long to wait before it is said; 0 for never."""


class Reply:
    """The agent's turn: utterances made by the brain, if `pieces` are given, and those that others append."""

    def __init__(
        self,
        call: Call,
        trace: TurnTrace,
        now_s: Callable[[], float],
        *,
        pieces: AsyncGenerator[Piece] | None = None,
        filler: Filler | None = None,
        protect_ms: int = 0,
        switch_language: Callable[[str], None] = lambda language: None,
    ) -> None:
        self.trace = trace
        self.protect_ms = protect_ms
        """How much of the first utterance may not be interrupted."""
        self.action: AfterTurn | None = None
        """What is to be done when all of the turn has been heard."""
        self.utterances: list[Utterance] = []
        self.has_words = False
        """Tells whether the brain has given it something to say."""
        self._written: list[str] = []
        """What the brain and others have given it to say."""
        self.tokens = 0
        """How many pieces of text the brain has given it: a language model's tokens, for the most part."""
        self.started = False
        """Tells whether its first frame has left."""
        self.started_ms = 0
        """When the first frame left, counted from the moment the call was answered."""
        self._call = call
        self._now_s = now_s
        self._pieces = pieces
        """The brain's generator; None once it has ended."""
        self._filler = filler or Filler()
        self._switch_language = switch_language
        self._text: GrowingText | None = None
        self._fillers: list[Utterance] = []

    async def run(self) -> None:
        """Says what the brain makes, as it makes it. Raises BrainError."""
        assert self._pieces is not None, "there is a brain that makes it"
        self.trace.mark(Mark.ASKED, self._now_s())
        try:
            async with aclosing(self._pieces) as pieces:
                await self._take(pieces)
            self.trace.mark(Mark.LAST_TOKEN, self._now_s())
        except BrainError:
            raise
        except Exception as error:  # whatever it is, the caller must not be left in silence
            log.exception("the brain broke down", call=str(self._call.id))
            raise BrainError(f"{type(error).__name__}: {error}") from error
        finally:
            self._end_text()
            self._pieces = None

    @property
    def over(self) -> bool:
        """Tells whether all of the turn was made, and played to its end or cut."""
        return self._pieces is None and all(utterance.done for utterance in self.utterances)

    def heard_text(self) -> str:
        """Returns what the caller heard of the turn."""
        return " ".join(text for utterance in self.utterances if (text := utterance.heard_text().strip()))

    def unheard_text(self) -> str:
        """Returns what would have followed on it, as far as it was written."""
        return rest_of("".join(self._written), self.heard_text())

    def is_unspeakable(self) -> bool:
        """Tells whether a turn that is over had words, none of which was heard. A filler does not count as heard."""
        return self.has_words and not any(u.heard_text().strip() for u in self.utterances if self.is_answer(u))

    def is_answer(self, utterance: Utterance) -> bool:
        """Tells whether the utterance belongs to this turn and is not a filler."""
        return utterance in self.utterances and utterance not in self._fillers

    def append(self, utterance: Utterance, text: str) -> None:
        """Adds an utterance with its text, as far as that is known."""
        self.utterances.append(utterance)
        self._written.append(f" {text} ")

    async def _take(self, pieces: AsyncGenerator[Piece]) -> None:
        fillers = MAX_FILLERS if self._filler.text and self._filler.after_ms else 0
        while True:
            upcoming = asyncio.ensure_future(anext(pieces, None))
            try:
                if fillers:
                    await asyncio.wait({upcoming}, timeout=self._filler.after_ms / 1000)
                    # Behind words that are not whole yet it would be heard after the answer.
                    if not upcoming.done() and self._call.playout.current is None and self._text is None:
                        fillers -= 1
                        self._fillers.append(self._say(Say(self._filler.text)))
                piece = await upcoming
            finally:
                if not upcoming.done():
                    upcoming.cancel()
                    await asyncio.wait({upcoming})
                if not upcoming.cancelled():
                    upcoming.exception()  # a brain that fails as it is cut: nobody asks for that error any more
            match piece:
                case None:
                    return
                case str():
                    self.has_words = True
                    self.tokens += 1
                    self.trace.mark(Mark.FIRST_TOKEN, self._now_s())
                    self._write(piece)
                case Say():
                    self.has_words = True
                    self.trace.mark(Mark.FIRST_TOKEN, self._now_s())
                    self._end_text()
                    self._say(piece)
                case EndText():
                    self._end_text()
                case BreakOff():
                    self._end_text(unfinished=True)
                case SwitchLanguage(language):
                    self._end_text()  # the next sentence is another utterance, in another voice
                    self._switch_language(language)
                case _:
                    self.action = piece

    def _write(self, text: str) -> None:
        """Adds to the text that is being spoken, or begins one."""
        self._written.append(text)
        if self._text is None:
            self._text = GrowingText()
            self.utterances.append(self._call.say(self._text))
        self._text.write(text)

    def _end_text(self, *, unfinished: bool = False) -> None:
        if self._text is not None:
            if unfinished:
                self._text.break_off()
            self._text.end()
            self._text = None

    def _say(self, speech: Say) -> Utterance:
        try:
            utterance = self._call.say(speech.text, voice=speech.voice, interruptible=speech.interruptible)
        except UnknownVoice as error:
            log.warning("said in the call's own voice", call=str(self._call.id), error=str(error))
            utterance = self._call.say(speech.text, interruptible=speech.interruptible)
        self.append(utterance, speech.text)
        return utterance
