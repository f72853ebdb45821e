"""One call: it has its texts spoken, passes the caller's audio on, and ends everything it started when it ends."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Protocol
from uuid import UUID

import structlog

from bridge.line.apology import Apology
from bridge.line.audiosocket import RATE_HZ
from bridge.line.playout import Interruption, Playout
from bridge.line.utterance import Utterance, UtteranceObserver
from engine.audio import Resampler
from engine.pipeline import speak
from engine.speech import Engine, SpeechError, Style, UnspeakableText

log = structlog.get_logger(__name__)

AHEAD_MS: Final = 4_000
"""The longest lead of the speech that is made over what the caller has heard. It bridges a busy engine, and it is the
most that a barge-in throws away."""
MAX_DIGITS: Final = 1_000
"""The number of digits kept of a call, the latest ones."""
BUSY_WAIT_S: Final = 20.0
"""How long a call waits for an engine that has no place for it. A burst of calls is through by then, and no caller
should be kept in silence for longer."""
RATE_WAIT_S: Final = 0.1
"""How long to wait for the caller's rate. Asterisk's first audio tells it and comes at once; a caller who sends none
(DTX) is spoken to at 8 kHz."""


CALLER_HUNG_UP: Final = "caller hung up"
"""The reason of a call's end whose connection the other side has closed."""
LOST: Final = "lost: "
"""How the reason begins where the connection was lost."""


class State(StrEnum):
    """The stages of a call."""

    ACTIVE = "active"
    ENDING = "ending"
    ENDED = "ended"


class Wire(Protocol):
    """What a call needs of its connection. The server's clock decides when a frame is sent, not the connection."""

    def send(self, pcm: bytes, rate_hz: int) -> None:
        """Sends one wire frame in one write: 20 ms of 16-bit little-endian mono."""

    def take_back(self) -> int:
        """Has nothing played that was sent and not played yet; returns how many milliseconds that is."""

    def hang_up(self) -> None:
        """Ends the call in a way that lets the dialplan go on."""


class CallObserver(UtteranceObserver):
    """Is told what happens in a call. Each method does nothing until it is overridden."""

    def audio_received(self, pcm: bytes, rate_hz: int) -> None:
        """The caller's audio has come: 16-bit little-endian mono, in whole samples."""

    def digit_received(self, digit: str) -> None:
        """The caller has pressed a key."""

    def frame_sent(self, pcm: bytes, rate_hz: int) -> None:
        """A frame has left: 16-bit little-endian mono."""

    def call_ending(self, call: Call) -> None:
        """The call is about to end: what is queued will be said, and nothing that comes later."""

    def speech_failed(self, problem: str) -> None:
        """The engine has failed, and the call is about to apologise."""

    def call_ended(self, call: Call) -> None:
        """The call has ended and its tasks have been cancelled. This is told once, and last."""


@dataclass(slots=True)
class _QueuedText:
    utterance: Utterance
    text: str | AsyncIterable[str]
    style: Style


class Call:
    """A call in progress. All methods are for the event loop's thread and return at once."""

    def __init__(
        self,
        call_id: UUID,
        wire: Wire,
        engine: Engine,
        style: Style,
        *,
        normalize: bool = True,
        apology: Apology | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = call_id
        self.state = State.ACTIVE
        self.dtmf = ""
        """The digits pressed so far, up to `MAX_DIGITS`."""
        self.started_at = time.time()
        self.ended_at: float | None = None
        self.end_reason = ""
        self.style = style
        self.language = style.language or "en"
        """The language that is spoken on the call, as far as it is known."""
        self._observers: list[CallObserver] = []
        self.playout = Playout(self._observers)
        self.rate_known = asyncio.Event()
        """Is set by the caller's first audio, or after `RATE_WAIT_S` without any."""
        self._frame_observers: list[CallObserver] = []
        self._wire = wire
        self._engine = engine
        self._normalize = normalize
        self._apology = apology
        self._now_s = now_s
        self._queue: deque[_QueuedText] = deque()
        self._speaker: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._waiting: Utterance | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._rate_timer = asyncio.get_running_loop().call_later(RATE_WAIT_S, self.rate_known.set)

    def observe(self, *observers: CallObserver) -> None:
        """Tells `observers` what happens from now on, after those who observe the call already."""
        self._observers += observers
        # A frame leaves every 20 ms, so that only those are called who override `frame_sent`.
        self._frame_observers += [o for o in observers if type(o).frame_sent is not CallObserver.frame_sent]

    # What it hears ----------------------------------------------------------------------------------------------

    def say(self, text: str | AsyncIterable[str], *, voice: str | None = None, interruptible: bool = True) -> Utterance:
        """Speaks `text` after what is queued already and returns its utterance. Raises UnknownVoice.

        A text that comes in pieces is spoken sentence by sentence, as the sentences complete. A call that is ending
        says nothing more: the utterance comes back cut.
        """
        style = self.style
        if voice is not None:
            style = replace(style, voice=self._engine.resolve_voice(voice))
        utterance = self.playout.begin(interruptible=interruptible)
        if self.state is not State.ACTIVE:
            self.playout.drop(utterance)
            return utterance
        self._queue.append(_QueuedText(utterance, text, style))
        if self._speaker is None:
            self._speaker = self.spawn(self._speak_queue())
        return utterance

    @property
    def queued(self) -> int:
        """The number of texts that wait behind the one that is being spoken."""
        return len(self._queue)

    def pause(self) -> bool:
        """Falls silent within a tick and keeps the place; synthesis goes on. Returns False if nothing was playing."""
        self._take_back()
        return self.playout.pause(self._now_s())

    def resume(self, rewind_ms: int = 0) -> None:
        """Goes on where `pause` stopped, or `rewind_ms` before that."""
        self.playout.resume(rewind_ms)

    def interrupt(self) -> Interruption:
        """Falls silent within a tick, drops everything queued, cancels its synthesis, and returns what was heard."""
        self._queue.clear()
        if self._speaker is not None:
            self._speaker.cancel()
            self._speaker = None
        self._take_back()
        return self.playout.cut(self._now_s())

    # How it ends ------------------------------------------------------------------------------------------------

    def hang_up(self) -> None:
        """Says what is queued, then gives the call back to the dialplan. Idempotent."""
        if self.state is State.ACTIVE:
            for observer in self._observers:
                observer.call_ending(self)
            self.state = State.ENDING
            self.playout.background.stop()
            self.resume()

    def end(self, reason: str) -> None:
        """Ends everything that the call has started, now that its connection is gone. Idempotent."""
        if self.state is State.ENDED:
            return
        self.state = State.ENDED
        self.ended_at = time.time()
        self.end_reason = reason
        self._rate_timer.cancel()
        self.interrupt()
        for task in self._tasks:
            task.cancel()
        for observer in self._observers:
            observer.call_ended(self)

    def apologize(self) -> None:
        """Plays the apology, which was made before it is needed, then gives the call back to the dialplan."""
        self.interrupt()
        if self.state is not State.ENDED and self._apology:
            utterance = self.playout.begin(interruptible=False)
            utterance.open(self.playout.rate_hz)
            utterance.write(self._apology.at(self.playout.rate_hz))
            utterance.end()
        self.hang_up()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs a coroutine as a task of this call, which is cancelled when the call ends."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    # What the connection and the clock tell it --------------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """Sends the wire frame of this tick. Once a call that is ending has said everything, hangs up."""
        rate_hz, pcm = self.playout.tick(now_s)
        self._wire.send(pcm, rate_hz)
        for observer in self._frame_observers:
            observer.frame_sent(pcm, rate_hz)
        if self._waiting is not None and self._waiting.buffered_ms < AHEAD_MS:
            self._room.set()
        if self.state is State.ENDING and self._speaker is None and self.playout.idle:
            self._wire.hang_up()

    def audio_received(self, kind: int, pcm: bytes) -> None:
        """Takes the caller's audio, in whatever length it comes, and passes it to the observers."""
        rate_hz = RATE_HZ[kind]
        if not self.rate_known.is_set() or rate_hz != self.playout.rate_hz:
            self.rate_told(rate_hz)
        pcm = pcm[: len(pcm) // 2 * 2]
        for observer in self._observers:
            observer.audio_received(pcm, rate_hz)

    def rate_told(self, rate_hz: int) -> None:
        """Takes the rate of the caller's audio, at which what begins from now on is spoken."""
        self.playout.rate_hz = rate_hz
        self.rate_known.set()

    def dtmf_received(self, digit: str) -> None:
        """Takes a key that the caller has pressed; Asterisk tells it when the key is released."""
        self.dtmf = (self.dtmf + digit)[-MAX_DIGITS:]
        for observer in self._observers:
            observer.digit_received(digit)

    def _take_back(self) -> None:
        """Counts as not heard what has left and was not played; what comes next, if only the fade, follows on it."""
        if self.playout.speaking:
            self.playout.not_played(self._wire.take_back())

    # Its own work -------------------------------------------------------------------------------------------------

    async def _speak_queue(self) -> None:
        await self.rate_known.wait()
        while self._queue:
            queued = self._queue.popleft()
            try:
                await self._speak(queued)
            except UnspeakableText as error:
                log.warning("not spoken", call=str(self.id), error=type(error).__name__)
                log.debug("not spoken", call=str(self.id), error=str(error))  # it holds the words
            except SpeechError as error:
                log.error("speech failed", call=str(self.id), error=str(error))
                self._give_up(str(error))
                return
            except Exception as error:  # whatever it is, the caller must not be left in silence
                log.exception("speech broke down", call=str(self.id))
                self._give_up(f"{type(error).__name__}: {error}")
                return
            finally:
                queued.utterance.end()
        self._speaker = None

    def _give_up(self, problem: str) -> None:
        """Apologises, because the engine cannot speak."""
        self._speaker = None
        for observer in self._observers:
            observer.speech_failed(problem)
        self.apologize()

    async def _speak(self, queued: _QueuedText) -> None:
        rate_hz, utterance = self.playout.rate_hz, queued.utterance
        utterance.open(rate_hz)
        style = replace(queued.style, listener=str(self.id), sample_rate_hz=rate_hz)
        resampler = Resampler(self._engine.rate_hz(style), rate_hz)
        speech = speak(
            self._engine,
            queued.text,
            style,
            normalize=self._normalize,
            busy_wait_s=BUSY_WAIT_S,
            by_word=True,
            language=self.language,
            on_language=self._language_told,
            on_sentence=lambda: self._sentence_begun(utterance),
        )
        async with aclosing(speech) as chunks:
            first = True
            async for chunk in chunks:
                utterance.write(resampler.push(chunk.pcm).tobytes(), chunk.text, is_pause=chunk.is_pause)
                if first:
                    first = False
                    for observer in self._observers:
                        observer.utterance_made(utterance)
                while utterance.buffered_ms >= AHEAD_MS:
                    self._waiting = utterance
                    self._room.clear()
                    await self._room.wait()
        utterance.write(resampler.flush().tobytes())
        for observer in self._observers:
            observer.utterance_whole(utterance)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a call's task failed", call=str(self.id), exc_info=error)

    def _language_told(self, language: str) -> None:
        self.language = language

    def _sentence_begun(self, utterance: Utterance) -> None:
        for observer in self._observers:
            observer.sentence_begun(utterance)
