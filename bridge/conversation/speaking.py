"""Speaks the agent's turn in one call, from a brain's pieces to the text that the caller heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from typing import Final, Protocol

import structlog

from bridge.brains.brain import AfterTurn, BrainError, Piece
from bridge.conversation.call_agent import CallAgent
from bridge.conversation.journal import Journal
from bridge.conversation.metrics import ConversationMetrics
from bridge.conversation.reply import Filler, Reply
from bridge.conversation.trace import Mark, TurnTrace
from bridge.line.call import Call, CallObserver, State
from bridge.line.playout import Interruption
from bridge.line.utterance import Utterance

log = structlog.get_logger(__name__)

NOTHING: Final = Interruption(interrupted=False)


class SpeakingObserver(Protocol):
    """Is told how the agent's turn goes."""

    def playing(self, *, interruptible: bool, protect_ms: int, filler: bool) -> None:
        """An utterance's first frame leaves; its first `protect_ms` may not be interrupted."""

    def finished(self, action: AfterTurn | None) -> None:
        """All of the turn has been heard, and `action` is to be done."""

    def fail(self, service: str, problem: str) -> None:
        """The turn cannot go on, because `service` is gone."""

    def switch_language(self, language: str) -> None:
        """What comes next is to be said in another language."""

    def was_cut(self) -> None:
        """Somebody has silenced the call itself."""


class Speaking(CallObserver):
    """Speaks at most one reply at a time. When it is over, the brain and the journal are told what was heard of it."""

    def __init__(
        self,
        call: Call,
        agent: CallAgent,
        observer: SpeakingObserver,
        journal: Journal,
        metrics: ConversationMetrics,
        now_s: Callable[[], float],
    ) -> None:
        self._call = call
        self._agent = agent
        self._observer = observer
        self._journal = journal
        self._metrics = metrics
        self._now_s = now_s
        self._reply: Reply | None = None
        self._held: Reply | None = None
        """A reply that was begun early: it is made, and nothing of it is heard. Nothing else is said meanwhile."""
        self._maker: asyncio.Task[None] | None = None
        self._cutting = False
        self._silent_s: float | None = None
        """When the agent fell silent at a sound of the caller's; None while it is not paused."""

    def begin(self, pieces: AsyncGenerator[Piece], trace: TurnTrace, filler: Filler, protect_ms: int = 0) -> None:
        """Says what a brain makes, in place of what is being said; its first `protect_ms` may not be interrupted."""
        self.cut("restart")
        reply = self._reply_of(pieces, trace, filler, protect_ms)
        self._reply, self._maker = reply, self._call.spawn(self._make(reply))

    def prepare(self, pieces: AsyncGenerator[Piece], filler: Filler) -> None:
        """Has what a brain makes made into sound, and holds it until `confirm` or `discard`."""
        self.discard()
        self._call.playout.paused = True
        self._held = reply = self._reply_of(pieces, TurnTrace(), filler)
        self._maker = self._call.spawn(self._make(reply))

    def confirm(self, trace: TurnTrace) -> bool:
        """Says what is held, as the answer to what `trace` begins with. Returns False if there is nothing held."""
        reply, self._held = self._held, None
        if reply is None:
            return False
        reply.trace.at_s.update(trace.at_s)
        self._reply = reply
        self._metrics.early("used", reply.tokens)
        self._call.resume()
        asyncio.get_running_loop().call_soon(self._finish_if_over, reply)
        return True

    def discard(self) -> None:
        """Drops what is held, if anything, without a trace."""
        reply, self._held = self._held, None
        if reply is None:
            return
        maker, self._maker = self._maker, None
        if maker is not None:
            maker.cancel()
        self._cutting = True
        self._call.interrupt()
        self._call.resume()
        self._cutting = False
        self._agent.brain.take_back()
        self._metrics.early("wasted", reply.tokens)

    def say(self, text: str | AsyncIterable[str], *, voice: str | None = None, interruptible: bool = True) -> Utterance:
        """Says a text behind what is being said, as part of the turn or as a turn of its own. Raises UnknownVoice."""
        self.discard()
        utterance = self._call.say(text, voice=voice, interruptible=interruptible)
        if not utterance.done:
            self._reply = self._reply or Reply(self._call, TurnTrace(), self._now_s)
            self._reply.append(utterance, text if isinstance(text, str) else "")
        return utterance

    def pause(self) -> Interruption:
        """Falls silent and keeps the place, or does not begin. Returns what was heard of the utterance that played."""
        playing = self._call.playout.current
        if not self._call.pause() or playing is None or self._reply is None:
            self._call.playout.paused = True  # nothing is heard yet, and nothing shall be
            return NOTHING
        text = playing.heard_text().strip()
        self._silent_s = self._now_s()
        self._journal.tell("response.paused", text=text, audio_end_ms=playing.played_ms)
        return Interruption(True, text, playing.played_ms)

    def resume(self, rewind_ms: int) -> None:
        """Goes on where `pause` stopped, or `rewind_ms` before that."""
        self._call.resume(rewind_ms)
        if self._silent_s is not None:  # it had begun: what was held before its first sound begins only now
            self._silent_s = None
            self._journal.tell("response.resumed")

    def cut(self, reason: str) -> Interruption:
        """Drops the agent's turn, keeping what was heard of it. Returns what was heard of the utterance that played."""
        self.discard()
        reply, self._reply = self._reply, None
        if self._maker is not None:
            self._maker.cancel()
            self._maker = None
        self._cutting = True
        cut = self._call.interrupt()
        self._call.resume()  # a reply that was held before its first sound must not hold the next
        self._cutting = False
        if reply is None:
            return cut
        text = reply.heard_text()
        self._agent.brain.heard(text, interrupted=True)
        if not reply.started:
            return NOTHING
        self._keep(reply, text, interrupted=True)
        playing = cut.text.strip()
        self._journal.tell("response.interrupted", text=playing, audio_end_ms=cut.audio_end_ms, reason=reason)
        return Interruption(True, playing, cut.audio_end_ms)

    def _reply_of(self, pieces: AsyncGenerator[Piece], trace: TurnTrace, filler: Filler, protect_ms: int = 0) -> Reply:
        switch = self._observer.switch_language
        return Reply(
            self._call,
            trace,
            self._now_s,
            pieces=pieces,
            filler=filler,
            protect_ms=protect_ms,
            switch_language=switch,
        )

    # The reply ----------------------------------------------------------------------------------------------------

    async def _make(self, reply: Reply) -> None:
        try:
            await reply.run()
        except BrainError as error:
            if reply is self._reply:
                self._observer.fail("llm", str(error))
            elif reply is self._held:  # the answer is asked for again when the words are certain
                self._maker = None
                self.discard()
            return
        self._finish_if_over(reply)

    def _finish_if_over(self, reply: Reply) -> None:
        if reply is self._reply and reply.over:
            self._finish(reply)

    def _finish(self, reply: Reply) -> None:
        """Ends a reply of which all has been heard."""
        self._reply = self._maker = None
        self._call.resume()  # a held reply that had nothing to say must not hold the next
        text = reply.heard_text()
        self._agent.brain.heard(text, interrupted=False)
        if text or reply.started:
            self._keep(reply, text, interrupted=False)
            self._journal.tell("response.done", text=text)
        if reply.action is None and reply.is_unspeakable():
            self._observer.fail("llm", "the engine has no sounds for any of the answer")
        else:
            self._observer.finished(reply.action)

    def _keep(self, reply: Reply, text: str, *, interrupted: bool) -> None:
        now_s = self._now_s()
        silent_s, self._silent_s = self._silent_s, None
        reply.trace.end(now_s, now_s if silent_s is None else silent_s)
        stages = reply.trace.stages_ms()
        log.info("turn", call=str(self._call.id), interrupted=interrupted, **stages)
        if text:
            unheard = reply.unheard_text() if interrupted else ""
            self._metrics.heard(self._agent.name, text, unheard)
            self._journal.agent(text, reply.started_ms, interrupted=interrupted, trace=stages, unheard=unheard)
        self._journal.turn(reply.trace, interrupted=interrupted)

    # bridge.line.call.CallObserver --------------------------------------------------------------------------------

    def call_ending(self, call: Call) -> None:
        self.discard()  # the caller may not have said what it answers

    def sentence_begun(self, utterance: Utterance) -> None:
        reply = self._reply or self._held
        if reply is not None and reply.is_answer(utterance):
            reply.trace.mark(Mark.FIRST_SENTENCE, self._now_s())

    def utterance_made(self, utterance: Utterance) -> None:
        reply = self._reply or self._held
        if reply is not None and utterance in reply.utterances:
            reply.trace.mark(Mark.FIRST_AUDIO, self._now_s())

    def utterance_whole(self, utterance: Utterance) -> None:
        reply = self._reply or self._held
        if reply is not None and utterance in reply.utterances:
            reply.trace.at_s[Mark.LAST_AUDIO] = self._now_s()

    def utterance_started(self, utterance: Utterance) -> None:
        reply, protect_ms = self._reply, 0
        if reply is None or utterance not in reply.utterances:
            return  # it is the apology
        if not reply.started:
            reply.started, reply.started_ms, protect_ms = True, self._journal.clock_ms(), reply.protect_ms
            reply.trace.mark(Mark.FIRST_FRAME, self._now_s())
            self._metrics.observe(reply.trace, self._agent.name)
            self._journal.tell("response.started", id=utterance.id)
        if self._call.state is State.ACTIVE:
            filler = not reply.is_answer(utterance)
            self._observer.playing(interruptible=utterance.interruptible, protect_ms=protect_ms, filler=filler)

    def utterance_done(self, utterance: Utterance) -> None:
        if self._cutting or self._reply is None:
            return
        if self._call.state is State.ENDED:
            self.cut("hung up")
        elif utterance not in self._reply.utterances:
            return  # it came too late to a call that is ending: what is being said is heard to its end
        elif utterance.interrupted:  # somebody silenced the call without asking this object
            self._observer.was_cut()
        elif self._reply.over:
            self._finish(self._reply)
