"""What each call has, whoever answers the caller: a journal, a recording, a time limit, and where it goes next."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import AsyncIterable, Callable
from typing import Any

import structlog

from bridge.brains.destinations import Destinations
from bridge.brains.fixed_keys import FixedKeys
from bridge.conversation.alarm import Alarm
from bridge.conversation.caller_speech import CallerSpeech
from bridge.conversation.journal import Journal
from bridge.conversation.memory import Memory
from bridge.conversation.metrics import ConversationMetrics
from bridge.conversation.next_destination import HANG_UP, NextDestination
from bridge.conversation.recording import CallRecording, SentAudio
from bridge.conversation.settings import ConversationSettings
from bridge.conversation.silence_meter import SilenceMeter
from bridge.conversation.time_limit import Limit, TimeLimit
from bridge.conversation.waiting_sounds import WaitingSounds
from bridge.hearing.events import InboundEvent
from bridge.hearing.listening import Listening
from bridge.journal.events import VERSION
from bridge.journal.privacy import Privacy
from bridge.line.call import Call, CallObserver, State
from bridge.line.playout import Interruption
from bridge.line.utterance import Utterance

log = structlog.get_logger(__name__)


class Talk(CallObserver):
    """The talk of one call, made when the call is answered. Only the event loop's thread may use it."""

    def __init__(
        self,
        call: Call,
        settings: ConversationSettings,
        metrics: ConversationMetrics,
        *,
        destinations: Destinations | None = None,
        variables: dict[str, str] | None = None,
        recording: CallRecording | None = None,
        privacy: Privacy | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """The talk changes `variables` when the caller does: whoever reads the same object knows the caller of now."""
        self.call = call
        self.variables = {} if variables is None else variables
        self.privacy = privacy or Privacy()
        """What of the call may be kept."""
        self.journal = Journal(str(call.id), lambda: self.audio_ms, now_s, privacy=self.privacy)
        self.failed = ""
        """The service whose failure sent the call to the fallback; empty if none has failed."""
        self._settings = settings
        self._metrics = metrics
        self._recording = recording
        self._now_s = now_s
        self._start_s = now_s()
        self.next = NextDestination(destinations or Destinations(), settings.fallback_destination, str(call.id))
        self._keys = FixedKeys(settings.fixed_keys)
        self._limit = TimeLimit(settings.max_call_s, self._start_s)
        self._alarm = Alarm(self._deadline_s, self._expire, now_s)
        self._silence = SilenceMeter(call, metrics, now_s, self._silenced)
        self._caller = CallerSpeech(self.journal, now_s)
        self._sounds = WaitingSounds(call, settings, rings=self.variables.get("direction") != "outbound")
        self.listening = Listening(
            call,
            settings.asr_timeout_ms,
            self.heard,
            lambda problem: self.fail("asr", problem),
            now_s,
            cancels_echo=settings.echo_canceller,
        )

    def _begin_records(self) -> None:
        """Begins the recording, if there is one, and the journal."""
        self.call.observe(self._sounds)
        if self._recording is not None:
            if self._recording.keeps_sound:
                self.call.observe(SentAudio(self.call, self._recording, self._now_s))
                self.listening.recorders.append(self._recording.caller)
            self.journal.followers.append(self._recording.line)
        about = {"from": self.variables.get("from"), "to": self.variables.get("to"), "agent_name": self.agent_name}
        about["model"] = self._model() or None
        self.journal.tell("call.started", journal_version=VERSION, **about, variables=dict(self.variables))

    def _tell_handed_over(self, before: str, reason: str) -> None:
        """Tells that another agent has the call now."""
        self._metrics.handovers.labels(before, self.agent_name).inc()
        about = {"from_agent": before, "agent_name": self.agent_name, "model": self._model() or None}
        self.journal.tell("call.handed_over", **about, reason=reason)

    def _go_by(self, settings: ConversationSettings, destinations: Destinations) -> None:
        """Goes by these settings in what is done from now on."""
        self._settings = settings
        self._sounds.use(settings)
        self._keys = FixedKeys(settings.fixed_keys)
        self.next.allow(destinations, settings.fallback_destination)

    def caller_changed(self, number: str, name: str) -> None:
        """Notes that a colleague has transferred somebody else to this call."""
        self.variables |= {"from": number, "name": name}
        self.journal.tell("caller.changed", **{"from": number, "name": name})

    @property
    def audio_ms(self) -> int:
        """The time since the call was answered."""
        return round((self._now_s() - self._start_s) * 1000)

    # What differs by who answers ------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def agent_name(self) -> str:
        """The name of the agent that has the call now."""

    def _model(self) -> str:
        """Returns the name of the language model that answers; empty where none does."""
        return ""

    def memory(self) -> Memory:
        """Returns what a call needs that continues this one."""
        transfer = self.next.transfer
        return Memory(
            self.agent_name,
            "",
            self.variables,
            {},
            self.journal.transcript(),
            destination=transfer.destination if transfer is not None else "",
            decision=self.next.decision,
        )

    @abstractmethod
    def say(self, text: str | AsyncIterable[str], *, voice: str | None = None, interruptible: bool = True) -> Utterance:
        """Queues a text behind what the agent is saying and returns its utterance. Raises UnknownVoice."""

    @abstractmethod
    def interrupt(self) -> Interruption:
        """Silences the agent, whatever it is doing, and returns what was heard of it."""

    @abstractmethod
    def event(self, event: InboundEvent) -> Interruption:
        """Takes an event from a recogniser outside this server; returns what it did to the agent's speech."""

    @abstractmethod
    def heard(self, event: Any) -> object:
        """Takes what was heard of the caller."""

    @abstractmethod
    def _cut(self, reason: str) -> object:
        """Drops the agent's turn, keeping what was heard of it."""

    @abstractmethod
    def _agent(self) -> dict[str, Any]:
        """Returns what the agent is doing, for the JSON that describes the call."""

    @abstractmethod
    def _waits(self) -> bool:
        """Tells whether the agent is to say something, or more, while the caller is silent."""

    @abstractmethod
    def _due_s(self) -> float:
        """Returns when `_do_due` is to be called; infinity for never."""

    @abstractmethod
    def _do_due(self) -> None:
        """Does what is due by now."""

    # How it ends ----------------------------------------------------------------------------------------------------

    def hang_up(self, goodbye: str = "", destination: str = HANG_UP) -> bool:
        """Says the goodbye, if any, then gives the call back to the dialplan at `destination`. Raises NotAllowed.

        Returns False and changes nothing if the call is ending already.
        """
        destination = self.next.resolve(destination)
        if self.call.state is not State.ACTIVE:
            return False
        self.next.settle(destination)
        if goodbye:
            self._cut("interrupt")
            self.say(goodbye, interruptible=False)
        self._stop_making()
        self.call.hang_up()
        return True

    def _stop_making(self) -> None:
        """Drops what is being made and would come after what is to be heard."""

    def fail(self, service: str, problem: str) -> None:
        """Ends the talk with an apology and the fallback, because a service that it needs is gone."""
        if self.call.state is not State.ACTIVE:
            return
        log.error("conversation failed", call=str(self.call.id), service=service, problem=problem)
        self.failed = service
        self.next.fall_back()
        self._metrics.failures.labels(service).inc()
        self.journal.note("fault", service=service, problem=problem)
        self._cut("failure")
        self.call.apologize()

    def speech_failed(self, problem: str) -> None:
        self._metrics.failures.labels("engine").inc()
        self.journal.note("fault", service="engine", problem=problem)

    def _silenced(self, silence_ms: float) -> None:
        self.journal.note("agent.silenced", silence_ms=silence_ms)

    def call_ended(self, call: Call) -> None:
        self._alarm.cancel()
        self._cut("hung up")
        self.listening.stop()
        underruns = call.playout.underrun_frames
        self.journal.tell("call.ended", reason=call.end_reason, next=str(self.next), underrun_frames=underruns)
        if self._recording is not None:
            transcript = {"id": str(call.id), "end_reason": call.end_reason, **self.describe()}
            self._recording.close(self.privacy.kept(transcript))

    def describe(self) -> dict[str, Any]:
        """Returns the talk's part of the JSON that describes the call."""
        return {
            "variables": self.variables,
            "agent_name": self.agent_name,
            **self._agent(),
            "next": str(self.next),
            "failed": self.failed or None,
            "interrupt_to_silence_ms": self._silence.silences_ms,
            "transcript": self.journal.transcript(),
        }

    # The time -------------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Sets the timer for what is due next, and the sound of a caller who waits."""
        if self.call.state is State.ACTIVE:
            self._alarm.set()
            self._sounds.wait(self._waits())
        else:
            self._alarm.cancel()

    def _deadline_s(self) -> float:
        return min(self._due_s(), self._limit.deadline_s())

    def _expire(self) -> None:
        if self.call.state is not State.ACTIVE:
            return
        match self._limit.due(self._now_s()):
            case Limit.WARN if self._settings.max_call_warning:
                self.say(self._settings.max_call_warning)
            case Limit.END:
                log.info("the call has lasted MAX_CALL_S", call=str(self.call.id))
                self._cut("max call time")
                self.next.fall_back()
                self.call.hang_up()
                return
        self._do_due()
