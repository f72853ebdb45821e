"""One call's conversation: what the caller says to the brain, what the brain says to the caller, and who may interrupt.

Everything it starts is the call's own and ends with it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from typing import Any, Final

import structlog

from bridge.brain import Brain, BrainError, Fallback, HangUp, Piece, Transfer
from bridge.call import Call, State
from bridge.conversation_settings import ConversationSettings
from bridge.destinations import Destinations, NotAllowed
from bridge.digits import Digits
from bridge.events import EventReader, Heard, InboundEvent, Partial, SpeechStarted, SpeechStopped, Transcript
from bridge.inbound import Inbound
from bridge.journal import Journal
from bridge.listening import Listening, LocalEar, Recogniser
from bridge.playout import Interruption, Utterance
from bridge.recording import Recording
from bridge.reply import Filler, Reply
from bridge.silence import SilenceMeter
from bridge.trace import ConversationMetrics, Mark, Trace
from bridge.turns import Action, Commit, Pause, Prompt, Resume, Turns
from bridge.turns import Reply as Answer
from engine.text import SentenceSplitter

log = structlog.get_logger(__name__)

HANG_UP: Final = "hangup"
"""What `next` tells the dialplan of a call that is to end."""
_NOTHING: Final = Interruption(interrupted=False)


class Conversation:
    """Attached to a call when it is answered. All methods are for the event loop's thread."""

    def __init__(
        self,
        call: Call,
        brain: Brain,
        settings: ConversationSettings,
        metrics: ConversationMetrics,
        *,
        destinations: Destinations | None = None,
        variables: Mapping[str, str] | None = None,
        recording: Recording | None = None,
        splitter: Callable[[], SentenceSplitter] = SentenceSplitter,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.call = call
        self.variables = dict(variables or {})
        self.journal = Journal(str(call.id), lambda: self.audio_ms)
        self.failed = ""
        """The service that failed, and sent the call to the fallback."""
        self.interrupt_to_silence_ms: list[float] = []
        self._brain = brain
        self._settings = settings
        self._metrics = metrics
        self._destinations = destinations or Destinations()
        self._recording = recording
        self._splitter = splitter
        self._now_s = now_s
        self._start_s = now_s()
        self._sent = Inbound(self._start_s)
        self._early_frames = 0
        self._next: str | None = None
        self._turns = Turns(settings.rules())
        self._timer: asyncio.TimerHandle | None = None
        self._reader = EventReader()
        self._reply: Reply | None = None
        self._cutting = False
        self._digits = Digits(brain.digit_gap_ms, self._pressed)
        self._silence = SilenceMeter(call, self._silent_after, now_s)
        self._speech_start_ms = 0
        self._speech_end_s: float | None = None
        self.listening = Listening(
            call, settings.asr_timeout_ms, self.heard, lambda problem: self.fail("asr", problem), now_s
        )

    def start(self, recogniser: Recogniser | None = None, ear: LocalEar | None = None) -> None:
        """Listen and greet."""
        call = self.call
        call.dtmf_listeners.append(self._digit)
        call.made_listeners.append(self._utterance_made)
        call.started_listeners.append(self._utterance_started)
        call.done_listeners.append(self._utterance_done)
        call.end_listeners.append(self._ended)
        if self._recording is not None:
            call.frame_listeners.append(self._record_frame)
            self.listening.audio_listeners.append(self._recording.caller)
        self.listening.start(recogniser, ear)
        self.journal.tell("call.started", **{"from": self.variables.get("from"), "to": self.variables.get("to")})
        self._begin(self._brain.greet(), Trace(), greeting=True)

    @property
    def next_destination(self) -> str:
        """Where the dialplan goes after the call: a destination, `hangup`, or empty for its own fallback."""
        return self._settings.fallback_destination if self._next is None else self._next

    @property
    def audio_ms(self) -> int:
        """Time since the answer."""
        return round((self._now_s() - self._start_s) * 1000)

    # From outside -------------------------------------------------------------------------------------------------

    def say(self, text: str | AsyncIterable[str], *, voice: str | None = None, interruptible: bool = True) -> Utterance:
        """Speak into the conversation, behind what is being said. Raises UnknownVoice."""
        utterance = self.call.say(text, voice=voice, interruptible=interruptible)
        if not utterance.done:
            self._adopt(utterance)
        return utterance

    def interrupt(self) -> Interruption:
        """Take the floor from the agent, whatever it is doing."""
        self._silence.signal()
        interruption = self._cut("interrupt")
        self._do(self._turns.finished(self._now_s()))
        return interruption

    def hang_up(self, goodbye: str = "", destination: str = HANG_UP) -> None:
        """Say goodbye, if there is one, then give the call back, to go on at `destination`. Raises NotAllowed."""
        if destination not in (HANG_UP, ""):
            destination = self._destinations.resolve(destination)
        if self.call.state is not State.ACTIVE:
            return
        self._next = destination or None
        if goodbye:
            self._cut("interrupt")
            self.say(goodbye, interruptible=False)
        self.call.hang_up()

    def event(self, event: InboundEvent) -> Interruption:
        """An event of a recogniser elsewhere; returns what it did to the agent's speech."""
        heard = self._reader.read(event)
        return _NOTHING if heard is None else self.heard(heard)

    def heard(self, event: Heard) -> Interruption:
        """The recogniser has heard something; returns what that did to the agent's speech."""
        if self.call.state is not State.ACTIVE:
            return _NOTHING
        now_s = self._now_s()
        match event:
            case SpeechStarted(start_ms):
                self._speech_start_ms = self.audio_ms if start_ms is None else start_ms
                return self._do(self._turns.speech_started(now_s, start_ms))
            case SpeechStopped(end_ms):
                self._speech_end_s = now_s if end_ms is None else min(self._start_s + end_ms / 1000, now_s)
                return self._do(self._turns.speech_stopped(now_s))
            case Partial(text, start_ms):
                return self._do(self._turns.partial(now_s, text, start_ms))
            case Transcript(text, start_ms):
                if text:
                    self._heard_user(text)
                return self._do(self._turns.transcript(now_s, text, start_ms))

    def fail(self, service: str, problem: str) -> None:
        """A service that the conversation needs is gone: an apology, and the fallback."""
        if self.call.state is not State.ACTIVE:
            return
        log.error("conversation failed", call=str(self.call.id), service=service, problem=problem)
        self.failed = service
        self._next = None
        self._metrics.failures.labels(service).inc()
        self._cut("failure")
        self.call.apologise()

    def describe(self) -> dict[str, Any]:
        """The conversation's part of the call's JSON."""
        return {
            "variables": self.variables,
            "agent": self._turns.agent.value,
            "paused": self._turns.paused,
            "next": self.next_destination,
            "failed": self.failed or None,
            "interrupt_to_silence_ms": self.interrupt_to_silence_ms,
            "transcript": self.journal.transcript(),
        }

    # The turn -----------------------------------------------------------------------------------------------------

    def _do(self, actions: list[Action]) -> Interruption:
        """Do what the turn asks for; returns what became of the agent's speech."""
        interruption = _NOTHING
        for action in actions:
            match action:
                case Pause():
                    interruption = self._pause()
                case Resume():
                    self.call.resume(self._settings.resume_rewind_ms)
                    self._metrics.interruptions.labels("resumed").inc()
                    self.journal.tell("response.resumed")
                case Commit(reason):
                    self._silence.signal()
                    interruption = self._cut(reason.value)
                    self._metrics.interruptions.labels("committed").inc()
                case Answer(text):
                    self._answer(text)
                case Prompt():
                    self._begin(self._brain.silence(), Trace())
        self._arm()
        return interruption

    def _pause(self) -> Interruption:
        self._silence.signal()
        playing = self.call.playout.current
        if not self.call.pause() or playing is None or self._reply is None:
            self.call.playout.paused = True  # nothing is heard yet, and nothing shall be
            return _NOTHING
        text = playing.heard_text().strip()
        self.journal.tell("response.paused", text=text, audio_end_ms=playing.played_ms)
        return Interruption(True, text, playing.played_ms, playing)

    def _answer(self, said: str) -> None:
        trace = Trace()
        if self._speech_end_s is not None:
            trace.mark(Mark.SPEECH_END, self._speech_end_s)
            self._speech_end_s = None
        trace.mark(Mark.TRANSCRIPT, self._now_s())
        self._begin(self._brain.answer(said), trace)

    def _begin(self, pieces: AsyncGenerator[Piece], trace: Trace, *, greeting: bool = False) -> None:
        if self.call.state is not State.ACTIVE:
            return
        self._cut("restart")  # at most one turn at a time
        filler = Filler() if greeting else Filler(self._settings.filler, self._settings.filler_after_ms)
        self._reply = self._new_reply(pieces, trace, filler)
        self._reply.protect_ms = self._settings.greeting_protection_ms if greeting else 0
        self._do(self._turns.began(self._now_s(), audio_ms=self.audio_ms))

    def _new_reply(self, pieces: AsyncGenerator[Piece] | None, trace: Trace, filler: Filler | None = None) -> Reply:
        return Reply(
            self.call,
            pieces,
            trace,
            self._splitter(),
            on_done=self._reply_done,
            on_failed=self._reply_failed,
            filler=filler,
            now_s=self._now_s,
        )

    def _adopt(self, utterance: Utterance) -> None:
        """What is said from outside is part of the turn, or a turn of its own."""
        if self._reply is not None:
            self._reply.utterances.append(utterance)
            return
        self._reply = self._new_reply(None, Trace())
        self._reply.utterances.append(utterance)
        began = self._turns.began(self._now_s(), audio_ms=self.audio_ms, interruptible=utterance.interruptible)
        self._do(began)

    def _cut(self, reason: str) -> Interruption:
        """Drop the agent's turn; what was heard of it is kept. Returns what was heard of the utterance that played."""
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.cancel()
        self._cutting = True
        cut = self.call.interrupt()
        self.call.resume()  # a reply that was held before its first sound must not hold the next
        self._cutting = False
        if reply is None:
            return cut
        text = reply.heard_text()
        self._brain.heard(text, interrupted=True)
        if not reply.started:
            return _NOTHING
        self._heard_agent(reply, text, interrupted=True)
        playing = cut.text.strip()
        self.journal.tell("response.interrupted", text=playing, audio_end_ms=cut.audio_end_ms, reason=reason)
        return Interruption(True, playing, cut.audio_end_ms, cut.utterance)

    def _reply_done(self, reply: Reply) -> None:
        if reply is not self._reply:
            return
        self._reply = None
        text = reply.heard_text()
        self._brain.heard(text, interrupted=False)
        if text:
            self._heard_agent(reply, text, interrupted=False)
            self.journal.tell("response.done", text=text)
        actions = self._turns.finished(self._now_s())
        if reply.action is not None:
            self._follow(reply.action)
        elif self.call.state is State.ACTIVE:
            self._do(actions)

    def _reply_failed(self, reply: Reply, error: BrainError) -> None:
        if reply is self._reply:
            self.fail("llm", str(error))

    def _follow(self, action: Transfer | HangUp | Fallback) -> None:
        self._next = None
        match action:
            case Transfer(destination):
                try:
                    self._next = self._destinations.resolve(destination)
                except NotAllowed as error:
                    log.error("transfer refused", call=str(self.call.id), error=str(error))
            case HangUp():
                self._next = HANG_UP
        self.call.hang_up()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_s = self._turns.deadline_s()
        if due_s < math.inf and self.call.state is State.ACTIVE:
            wait_s = max(due_s - self._now_s(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._expire)

    def _expire(self) -> None:
        if self.call.state is State.ACTIVE:
            self._do(self._turns.expire(self._now_s()))

    # Keys ---------------------------------------------------------------------------------------------------------

    def _digit(self, digit: str) -> None:
        if self.call.state is State.ACTIVE:
            self.journal.tell("dtmf", digit=digit)
            self._do(self._turns.digit(self._now_s()))
            self._digits.press(digit)

    def _pressed(self, digits: str) -> None:
        trace = Trace()
        trace.mark(Mark.TRANSCRIPT, self._now_s())
        self._begin(self._brain.pressed(digits), trace)

    # What the playout tells -----------------------------------------------------------------------------------------

    def _utterance_made(self, utterance: Utterance) -> None:
        if self._reply is not None and utterance in self._reply.utterances:
            self._reply.trace.mark(Mark.FIRST_AUDIO, self._now_s())

    def _utterance_started(self, utterance: Utterance) -> None:
        if self._reply is None or utterance not in self._reply.utterances:
            if self.call.state is not State.ACTIVE:
                return  # the apology
            self._adopt(utterance)
        reply, protect_ms = self._reply, 0
        assert reply is not None
        if not reply.started:
            reply.started, reply.started_ms, protect_ms = True, self.audio_ms, reply.protect_ms
            reply.trace.mark(Mark.FIRST_FRAME, self._now_s())
            self._metrics.observe(reply.trace)
            self.journal.tell("response.started", id=utterance.id)
        if self.call.state is State.ACTIVE:
            interruptible = utterance.interruptible
            self._do(self._turns.playing(self._now_s(), interruptible=interruptible, protect_ms=protect_ms))

    def _utterance_done(self, utterance: Utterance) -> None:
        if self._cutting or self._reply is None:
            return
        if self.call.state is State.ENDED:
            self._cut("hung up")
        elif utterance.interrupted:  # by somebody who did not ask us
            self.interrupt()
        elif utterance in self._reply.utterances:
            self._reply.utterance_done()

    def _silent_after(self, elapsed_s: float) -> None:
        silence_ms = round(elapsed_s * 1000, 1)
        log.info("interrupted", call=str(self.call.id), silence_ms=silence_ms)
        self.interrupt_to_silence_ms.append(silence_ms)
        self._metrics.silence.observe(elapsed_s)

    def _record_frame(self, pcm: bytes, rate_hz: int) -> None:
        if self._recording is None:
            return
        if not self.call.rate_known.is_set():
            self._early_frames += 1  # silence, which must not set the recording's rate
            return
        pcm, self._early_frames = bytes(self._early_frames * len(pcm)) + pcm, 0
        self._recording.agent(self._sent.push(pcm, rate_hz, self._now_s()), self._sent.rate_hz)

    # What is kept -------------------------------------------------------------------------------------------------

    def _heard_user(self, text: str) -> None:
        end_s = self._speech_end_s
        end_ms = self.audio_ms if end_s is None else round((end_s - self._start_s) * 1000)
        self.journal.user(text, self._speech_start_ms, end_ms)

    def _heard_agent(self, reply: Reply, text: str, *, interrupted: bool) -> None:
        stages = reply.trace.stages_ms()
        log.info("turn", call=str(self.call.id), interrupted=interrupted, **stages)
        if text:
            self.journal.agent(text, reply.started_ms, interrupted=interrupted, trace=stages)

    def _ended(self, reason: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._digits.cancel()
        self._cut("hung up")
        self.listening.stop()
        self.journal.tell("call.ended", reason=reason, next=self.next_destination)
        if self._recording is not None:
            self._recording.close({"id": str(self.call.id), "end_reason": reason, **self.describe()})
