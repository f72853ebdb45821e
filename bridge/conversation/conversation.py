"""One call's conversation: what the caller says to the brain, what the brain says to the caller, and who may interrupt.

Everything it starts is the call's own and ends with it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from typing import Any

import structlog

from bridge.brains.brain import Brain, Fallback, HangUp, Piece, Transfer
from bridge.brains.destinations import Destinations
from bridge.conversation.caller_speech import CallerSpeech
from bridge.conversation.digits import Digits
from bridge.conversation.journal import Journal
from bridge.conversation.metrics import ConversationMetrics
from bridge.conversation.next_destination import HANG_UP, NextDestination
from bridge.conversation.recording import CallRecording, SentAudio
from bridge.conversation.reply import Filler
from bridge.conversation.settings import ConversationSettings
from bridge.conversation.silence_meter import SilenceMeter
from bridge.conversation.speaking import NOTHING, Speaking
from bridge.conversation.trace import Mark, TurnTrace
from bridge.hearing.events import EventReader, Heard, InboundEvent, Partial, SpeechStarted, SpeechStopped, Transcript
from bridge.hearing.listening import Listening, LocalEar, Recognizer
from bridge.line.call import Call, CallObserver, State
from bridge.line.playout import Interruption
from bridge.line.utterance import Utterance
from bridge.turns.actions import Action, Answer, Commit, Pause, PromptCaller, Resume
from bridge.turns.turns import Turns

log = structlog.get_logger(__name__)


class Conversation(CallObserver):
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
        recording: CallRecording | None = None,
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
        self._recording = recording
        self._now_s = now_s
        self._start_s = now_s()
        self.next = NextDestination(destinations or Destinations(), settings.fallback_destination, str(call.id))
        self._turns = Turns(settings.rules())
        self._timer: asyncio.TimerHandle | None = None
        self._reader = EventReader()
        self._digits = Digits(brain.digit_gap_ms, self._pressed)
        self._silence = SilenceMeter(call.playout, self._silent_after, now_s)
        self._caller = CallerSpeech(self.journal, now_s)
        self._speaking = Speaking(call, brain, self, self.journal, metrics, now_s)
        self.listening = Listening(
            call, settings.asr_timeout_ms, self.heard, lambda problem: self.fail("asr", problem), now_s
        )

    def start(self, recognizer: Recognizer | None = None, ear: LocalEar | None = None) -> None:
        """Listen and greet."""
        self.call.observe(self, self._speaking, self._silence)
        if self._recording is not None:
            self.call.observe(SentAudio(self.call, self._recording, self._now_s))
            self.listening.audio_listeners.append(self._recording.caller)
        self.listening.start(recognizer, ear)
        self.journal.tell("call.started", **{"from": self.variables.get("from"), "to": self.variables.get("to")})
        self._speaking.begin(self._brain.greet(), TurnTrace(), Filler(), self._settings.greeting_protection_ms)
        self._do(self._turn_began())

    @property
    def audio_ms(self) -> int:
        """Time since the answer."""
        return round((self._now_s() - self._start_s) * 1000)

    # From outside -------------------------------------------------------------------------------------------------

    def say(self, text: str | AsyncIterable[str], *, voice: str | None = None, interruptible: bool = True) -> Utterance:
        """Speak into the conversation, behind what is being said. Raises UnknownVoice."""
        utterance = self._speaking.say(text, voice=voice, interruptible=interruptible)
        if not utterance.done:
            self._do(self._turn_began(interruptible=interruptible))
        return utterance

    def interrupt(self) -> Interruption:
        """Take the floor from the agent, whatever it is doing."""
        self._silence.signal()
        interruption = self._speaking.cut("interrupt")
        self._do(self._turns.finished(self._now_s()))
        return interruption

    def hang_up(self, goodbye: str = "", destination: str = HANG_UP) -> bool:
        """Say goodbye, if there is one, then give the call back, to go on at `destination`. Raises NotAllowed.

        False where the call is ending already: nothing changes then.
        """
        destination = self.next.resolve(destination)
        if self.call.state is not State.ACTIVE:
            return False
        self.next.settle(destination)
        if goodbye:
            self._speaking.cut("interrupt")
            self.say(goodbye, interruptible=False)
        self.call.hang_up()
        return True

    def event(self, event: InboundEvent) -> Interruption:
        """An event of a recogniser elsewhere; returns what it did to the agent's speech."""
        heard = self._reader.read(event)
        return NOTHING if heard is None else self.heard(heard)

    def heard(self, event: Heard) -> Interruption:
        """The recogniser has heard something; returns what that did to the agent's speech."""
        if self.call.state is not State.ACTIVE:
            return NOTHING
        now_s = self._now_s()
        match event:
            case SpeechStarted(start_ms):
                self._caller.started(start_ms)
                return self._do(self._turns.speech_started(now_s, start_ms))
            case SpeechStopped(end_ms):
                self._caller.stopped(end_ms)
                return self._do(self._turns.speech_stopped(now_s))
            case Partial(text, start_ms):
                return self._do(self._turns.partial(now_s, text, start_ms))
            case Transcript(text, start_ms):
                if text:
                    self._caller.said(text)
                return self._do(self._turns.transcript(now_s, text, start_ms))

    def fail(self, service: str, problem: str) -> None:
        """A service that the conversation needs is gone: an apology, and the fallback."""
        if self.call.state is not State.ACTIVE:
            return
        log.error("conversation failed", call=str(self.call.id), service=service, problem=problem)
        self.failed = service
        self.next.fall_back()
        self._metrics.failures.labels(service).inc()
        self._speaking.cut("failure")
        self.call.apologize()

    def describe(self) -> dict[str, Any]:
        """The conversation's part of the call's JSON."""
        return {
            "variables": self.variables,
            "agent": self._turns.agent.value,
            "paused": self._turns.paused,
            "next": str(self.next),
            "failed": self.failed or None,
            "interrupt_to_silence_ms": self.interrupt_to_silence_ms,
            "transcript": self.journal.transcript(),
        }

    # The turn -----------------------------------------------------------------------------------------------------

    def _do(self, actions: Iterable[Action]) -> Interruption:
        """Does what the turns ask for, and what they ask for then; returns what became of the agent's speech."""
        interruption = NOTHING
        due = deque(actions)
        while due:
            match due.popleft():
                case Pause():
                    self._silence.signal()
                    paused = self._speaking.pause()
                    interruption = paused if paused.interrupted else interruption
                case Resume():
                    self._speaking.resume(self._settings.resume_rewind_ms)
                    self._metrics.interruptions.labels("resumed").inc()
                case Commit(reason):
                    self._silence.signal()
                    interruption = self._speaking.cut(reason.value)
                    self._metrics.interruptions.labels("committed").inc()
                case Answer(text):
                    due += self._begin(self._brain.answer(text), self._caller.trace())
                case PromptCaller():
                    due += self._begin(self._brain.silence(), TurnTrace())
        self._arm()
        return interruption

    def _begin(self, pieces: AsyncGenerator[Piece], trace: TurnTrace) -> list[Action]:
        """Lets the brain speak; returns what the turns ask for now."""
        if self.call.state is not State.ACTIVE:
            return []
        self._speaking.begin(pieces, trace, Filler(self._settings.filler, self._settings.filler_after_ms))
        return self._turn_began()

    def _turn_began(self, *, interruptible: bool = True) -> list[Action]:
        return self._turns.began(self._now_s(), audio_ms=self.audio_ms, interruptible=interruptible)

    # bridge.conversation.speaking.SpeakingObserver ----------------------------------------------------------------

    def playing(self, *, interruptible: bool, protect_ms: int) -> None:
        """An utterance's first frame leaves."""
        self._do(self._turns.playing(self._now_s(), interruptible=interruptible, protect_ms=protect_ms))

    def finished(self, action: Transfer | HangUp | Fallback | None) -> None:
        """All of it has been heard."""
        actions = self._turns.finished(self._now_s())
        if action is not None and not self.next.is_settled:
            self.next.follow(action)
            self.call.hang_up()
        elif self.call.state is State.ACTIVE:
            self._do(actions)

    def was_cut(self) -> None:
        """Somebody has silenced the call itself."""
        self.interrupt()

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

    def digit_received(self, digit: str) -> None:
        if self.call.state is State.ACTIVE:
            self.journal.tell("dtmf", digit=digit)
            self._do(self._turns.digit(self._now_s()))
            self._digits.press(digit)

    def _pressed(self, digits: str) -> None:
        if self.call.state is not State.ACTIVE:
            return
        self._do(self._turns.digit(self._now_s()))  # what has begun since the first of them is over before they count
        trace = TurnTrace()
        trace.mark(Mark.TRANSCRIPT, self._now_s())
        self._do(self._begin(self._brain.pressed(digits), trace))

    def _silent_after(self, elapsed_s: float) -> None:
        silence_ms = round(elapsed_s * 1000, 1)
        log.info("interrupted", call=str(self.call.id), silence_ms=silence_ms)
        self.interrupt_to_silence_ms.append(silence_ms)
        self._metrics.silence.observe(elapsed_s)

    # Its end ------------------------------------------------------------------------------------------------------

    def call_ended(self, call: Call) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._digits.cancel()
        self._speaking.cut("hung up")
        self.listening.stop()
        self.journal.tell("call.ended", reason=call.end_reason, next=str(self.next))
        if self._recording is not None:
            self._recording.close({"id": str(call.id), "end_reason": call.end_reason, **self.describe()})
