"""One call's conversation: it takes what the caller says to the brain, and what the brain says to the caller.

`Turns` decides who may interrupt whom. Every task and timer started here belongs to the call and ends with it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
from typing import Any

import structlog

from bridge.brains.brain import AfterTurn, HandOver, Piece, fill
from bridge.conversation.alarm import Alarm
from bridge.conversation.answering_machine import AnsweringMachine
from bridge.conversation.call_agent import CallAgent
from bridge.conversation.call_limit import CallLimit, Limit
from bridge.conversation.call_rules import turn_rules
from bridge.conversation.caller_events import CallerEvents
from bridge.conversation.caller_speech import CallerSpeech
from bridge.conversation.digits import Digits
from bridge.conversation.echo_text import EchoText
from bridge.conversation.journal import Journal
from bridge.conversation.metrics import ConversationMetrics
from bridge.conversation.next_destination import HANG_UP, NextDestination
from bridge.conversation.recording import CallRecording, SentAudio
from bridge.conversation.reply import Filler
from bridge.conversation.silence_meter import SilenceMeter
from bridge.conversation.speaking import NOTHING, Speaking
from bridge.conversation.trace import Mark, TurnTrace
from bridge.conversation.waiting import Waiting
from bridge.hearing.events import EventReader, Heard, InboundEvent
from bridge.hearing.listening import Listening, LocalEar, Recognizer
from bridge.line.call import Call, CallObserver, State
from bridge.line.playout import Interruption
from bridge.line.utterance import Utterance
from bridge.turns.actions import (
    Action,
    Answer,
    AskAgain,
    Commit,
    Discard,
    EndCall,
    Pause,
    Prepare,
    PromptCaller,
    Resume,
    TakeBack,
)
from bridge.turns.turns import Turns

log = structlog.get_logger(__name__)


class Conversation(CallObserver):
    """The conversation of one call, made when the call is answered. Only the event loop's thread may use it."""

    def __init__(
        self,
        call: Call,
        agent: CallAgent,
        metrics: ConversationMetrics,
        *,
        variables: Mapping[str, str] | None = None,
        recording: CallRecording | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.call = call
        self.variables = dict(variables or {})
        self.journal = Journal(str(call.id), lambda: self.audio_ms)
        self.failed = ""
        """The service whose failure sent the call to the fallback; empty if none has failed."""
        self.agent = agent
        settings = agent.settings
        self._metrics = metrics
        self._recording = recording
        self._now_s = now_s
        self._start_s = now_s()
        self.next = NextDestination(agent.agent.destinations, settings.fallback_destination, str(call.id))
        self._turns = Turns(turn_rules(settings))
        self._limit = CallLimit(settings.max_call_s, self._start_s)
        self._waiting = Waiting(agent.filler, now_s)
        self._alarm = Alarm(self._deadline_s, self._expire, now_s)
        self._reader = EventReader()
        self._digits = Digits(agent.brain.digit_gap_ms, self._pressed)
        self._silence = SilenceMeter(call, metrics, now_s)
        self._caller = CallerSpeech(self.journal, now_s)
        self._echo_text = EchoText(now_s) if settings.echo_text else None
        machine = AnsweringMachine(self.variables, settings.on_voicemail, self.journal, now_s)
        message = fill(settings.voicemail_message, self.variables)
        self._events = CallerEvents(self._turns, self._caller, self.journal, self._echo_text, machine, message)
        self._speaking = Speaking(call, agent, self, self.journal, metrics, now_s)
        self.listening = Listening(
            call,
            settings.asr_timeout_ms,
            self.heard,
            lambda problem: self.fail("asr", problem),
            now_s,
            cancels_echo=settings.echo_canceller,
        )

    def start(self, recognizer: Recognizer | None = None, ear: LocalEar | None = None) -> None:
        """Starts to listen to the caller and says the greeting."""
        self.call.observe(self, self._speaking, self._silence)
        if self._echo_text is not None:
            self.call.observe(self._echo_text)
        if self._recording is not None:
            self.call.observe(SentAudio(self.call, self._recording, self._now_s))
            self.listening.recorders.append(self._recording.caller)
        self.listening.start(recognizer, ear)
        about = {"from": self.variables.get("from"), "to": self.variables.get("to"), "agent_name": self.agent.name}
        self.journal.tell("call.started", **about)
        machine, protect_ms = self._events.answered(self._now_s()), self.agent.settings.greeting_protection_ms
        if not machine:
            self._speaking.begin(self.agent.brain.greet(), TurnTrace(), Filler(), protect_ms)
        self._do(machine or self._turn_began())

    @property
    def audio_ms(self) -> int:
        """The time since the call was answered."""
        return round((self._now_s() - self._start_s) * 1000)

    # From outside -------------------------------------------------------------------------------------------------

    def say(self, text: str | AsyncIterable[str], *, voice: str | None = None, interruptible: bool = True) -> Utterance:
        """Queues a text behind what the agent is saying and returns its utterance. Raises UnknownVoice."""
        utterance = self._speaking.say(text, voice=voice, interruptible=interruptible)
        if not utterance.done:
            self._do(self._turn_began(interruptible=interruptible))
        return utterance

    def interrupt(self) -> Interruption:
        """Silences the agent, whatever it is doing, and returns what was heard of it."""
        self._silence.signal()
        self._waiting.over()
        interruption = self._speaking.cut("interrupt")
        self._do(self._turns.finished(self._now_s()))
        return interruption

    def hang_up(self, goodbye: str = "", destination: str = HANG_UP) -> bool:
        """Says the goodbye, if any, then gives the call back to the dialplan at `destination`. Raises NotAllowed.

        Returns False and changes nothing if the call is ending already.
        """
        destination = self.next.resolve(destination)
        if self.call.state is not State.ACTIVE:
            return False
        self.next.settle(destination)
        if goodbye:
            self._speaking.cut("interrupt")
            self.say(goodbye, interruptible=False)
        self._speaking.discard()
        self.call.hang_up()
        return True

    def event(self, event: InboundEvent) -> Interruption:
        """Takes an event from a recogniser outside this server; returns what it did to the agent's speech."""
        heard = self._reader.read(event)
        return NOTHING if heard is None else self.heard(heard)

    def heard(self, event: Heard) -> Interruption:
        """Takes what a recogniser heard; returns what it did to the agent's speech."""
        if self.call.state is not State.ACTIVE:
            return NOTHING
        return self._do(self._events.take(self._now_s(), event))

    def fail(self, service: str, problem: str) -> None:
        """Ends the conversation with an apology and the fallback, because a service that it needs is gone."""
        if self.call.state is not State.ACTIVE:
            return
        log.error("conversation failed", call=str(self.call.id), service=service, problem=problem)
        self.failed = service
        self.next.fall_back()
        self._metrics.failures.labels(service).inc()
        self._speaking.cut("failure")
        self.call.apologize()

    def describe(self) -> dict[str, Any]:
        """Returns the conversation's part of the JSON that describes the call."""
        return {
            "variables": self.variables,
            "agent_name": self.agent.name,
            "agent": self._turns.agent.value,
            "paused": self._turns.paused,
            "next": str(self.next),
            "failed": self.failed or None,
            "answered_by": self._events.machine.answered_by or None,
            "interrupt_to_silence_ms": self._silence.silences_ms,
            "transcript": self.journal.transcript(),
        }

    # The turn -----------------------------------------------------------------------------------------------------

    def _do(self, actions: Iterable[Action]) -> Interruption:
        """Carries out the actions and those that follow from them; returns what became of the agent's speech."""
        interruption = NOTHING
        due = deque(actions)
        while due:
            match due.popleft():
                case Pause():
                    self._silence.signal()
                    paused = self._speaking.pause()
                    interruption = paused if paused.interrupted else interruption
                case Resume():
                    self._speaking.resume(self.agent.settings.resume_rewind_ms)
                    self._metrics.interruptions.labels("resumed").inc()
                case TakeBack(ms):
                    self.call.playout.take_back(ms)
                case Commit(reason):
                    self._silence.signal()
                    interruption = self._speaking.cut(reason.value)
                    self._metrics.interruptions.labels("committed").inc()
                case Answer(text) if self._digits.waiting:
                    self._speaking.discard()
                    self._digits.say(text)
                case Answer(text, prepared):
                    self._waiting.asked()
                    due += self._answer(text, prepared=prepared)
                case Prepare() if self._digits.waiting or self.call.state is not State.ACTIVE:
                    pass
                case Prepare(text) if (pieces := self.agent.brain.prepare(text)) is not None:
                    self._speaking.prepare(pieces, self._waiting.filler())
                case Discard():
                    self._speaking.discard()
                case PromptCaller():
                    due += self._begin(self.agent.brain.silence(), TurnTrace())
                case AskAgain():
                    due += self._begin(self.agent.brain.misheard(), TurnTrace())
                case EndCall(text):
                    self.hang_up(text)
        if self.call.state is State.ACTIVE:
            self._alarm.set()
        return interruption

    def _answer(self, text: str, *, prepared: bool) -> list[Action]:
        trace = self._caller.trace()
        if prepared and self._speaking.confirm(trace):
            self.agent.brain.confirm()
            return self._turn_began()
        return self._begin(self.agent.brain.answer(text), trace)

    def _begin(self, pieces: AsyncGenerator[Piece], trace: TurnTrace) -> list[Action]:
        """Begins a reply made by the brain; returns the actions that the turns ask for now."""
        if self.call.state is not State.ACTIVE:
            return []
        self._speaking.begin(pieces, trace, self._waiting.filler())
        return self._turn_began()

    def _turn_began(self, *, interruptible: bool = True) -> list[Action]:
        return self._turns.began(self._now_s(), audio_ms=self.audio_ms, interruptible=interruptible)

    # bridge.conversation.speaking.SpeakingObserver ----------------------------------------------------------------

    def playing(self, *, interruptible: bool, protect_ms: int, filler: bool) -> None:
        """Tells the turns that an utterance's first frame leaves."""
        if filler:
            self._waiting.filled()
        else:
            self._waiting.over()
        now_s = self._now_s()
        self._do(self._turns.playing(now_s, interruptible=interruptible, protect_ms=protect_ms, filler=filler))

    def finished(self, action: AfterTurn | None) -> None:
        """Ends the agent's turn, of which all has been heard, and carries out its action."""
        self._waiting.over()
        actions = self._turns.finished(self._now_s())
        if isinstance(action, HandOver):
            self._hand_over(action)
        elif action is not None and not self.next.is_settled:
            self.next.follow(action)
            self.call.hang_up()
        elif self.call.state is State.ACTIVE:
            self._do(actions)

    def switch_language(self, language: str) -> None:
        """Has the next sentence said, and the caller understood, in another language."""
        self.agent.switch_language(language)
        self.journal.tell("language.switched", language=language)
        self._adapt()

    def was_cut(self) -> None:
        """Ends the agent's turn, because somebody has silenced the call itself."""
        self.interrupt()

    def _hand_over(self, action: HandOver) -> None:
        before = self.agent.name
        pieces = self.agent.hand_over(action)
        self._metrics.handovers.labels(before, self.agent.name).inc()
        self.journal.tell("call.handed_over", from_agent=before, agent_name=self.agent.name, reason=action.reason)
        self._adapt()
        self._do(self._begin(pieces, TurnTrace()))

    def _adapt(self) -> None:
        """Goes by the settings of an agent that has taken over, or of another language, in what is done from now on."""
        agent = self.agent.agent
        self.next.allow(agent.destinations, agent.settings.fallback_destination)
        self._waiting.base = self.agent.filler
        self._digits.gap_ms = self.agent.brain.digit_gap_ms
        self.listening.listen_in(agent.settings.asr_language)

    def _deadline_s(self) -> float:
        return min(self._events.deadline_s(), self._limit.deadline_s())

    def _expire(self) -> None:
        if self.call.state is not State.ACTIVE:
            return
        match self._limit.due(self._now_s()):
            case Limit.WARN if self.agent.settings.max_call_warning:
                self.say(self.agent.settings.max_call_warning)
            case Limit.END:
                log.info("the call has lasted MAX_CALL_S", call=str(self.call.id))
                self._speaking.cut("max call time")
                self.next.fall_back()
                self.call.hang_up()
                return
        self._do(self._events.expire(self._now_s()))

    # Keys ---------------------------------------------------------------------------------------------------------

    def digit_received(self, digit: str) -> None:
        if self.call.state is State.ACTIVE:
            self.journal.tell("dtmf", digit=digit)
            self._do(self._turns.digit(self._now_s()))
            self._digits.press(digit)

    def _pressed(self, digits: str, said: str) -> None:
        if self.call.state is not State.ACTIVE:
            return
        self._do(self._turns.digit(self._now_s()))  # a reply begun since the first key ends before they are answered
        trace = TurnTrace()
        trace.mark(Mark.TRANSCRIPT, self._now_s())
        self._waiting.asked()
        self._do(self._begin(self.agent.brain.pressed(digits, said), trace))

    # Its end ------------------------------------------------------------------------------------------------------

    def call_ended(self, call: Call) -> None:
        self._alarm.cancel()
        self._digits.cancel()
        self._speaking.cut("hung up")
        self.listening.stop()
        self.journal.tell("call.ended", reason=call.end_reason, next=str(self.next))
        if self._recording is not None:
            self._recording.close({"id": str(call.id), "end_reason": call.end_reason, **self.describe()})
