"""Takes what is heard of the caller to the turns, and to the notes of who spoke when. No I/O, the time is handed in."""

from __future__ import annotations

from bridge.conversation.answering_machine import AnsweringMachine, Do
from bridge.conversation.caller_speech import CallerSpeech
from bridge.conversation.echo_text import EchoText
from bridge.conversation.journal import Journal
from bridge.hearing.events import (
    Heard,
    HoldBegan,
    HoldEnded,
    Partial,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    Transcript,
)
from bridge.turns.actions import Action, Commit, EndCall, Reason
from bridge.turns.turns import Turns


class CallerEvents:
    """The events of one call. What is heard while the line is on hold is nobody's."""

    def __init__(
        self,
        turns: Turns,
        caller: CallerSpeech,
        journal: Journal,
        echo_text: EchoText | None,
        machine: AnsweringMachine,
        message: str,
    ) -> None:
        """`message` is what a voicemail is told."""
        self.machine = machine
        self._message = message
        self._turns = turns
        self._caller = caller
        self._journal = journal
        self._echo_text = echo_text

    def take(self, now_s: float, event: Heard) -> list[Action]:
        """Returns what an event calls for."""
        if (do := self.machine.heard(event)) is not None:
            return self._heed(now_s, do)
        if self.machine.waits:
            return []
        if self._turns.held and not isinstance(event, HoldEnded):
            return []
        turns = self._turns
        match event if self._echo_text is None else self._echo_text.without_echo(event):
            case SpeechStarted(start_ms):
                self._caller.started(start_ms)
                return turns.speech_started(now_s, start_ms)
            case SpeechStopped(end_ms):
                self._caller.stopped(end_ms)
                return turns.speech_stopped(now_s)
            case SpeechPaused():
                return turns.speech_paused()
            case SpeechResumed():
                turns.speech_resumed()
            case Partial(text, start_ms):
                return turns.partial(now_s, text, start_ms)
            case Transcript(text, start_ms):
                self._caller.said(text)
                return turns.transcript(now_s, text, start_ms)
            case HoldBegan(start_ms):
                self._journal.tell("hold.began", audio_start_ms=start_ms)
                clock_ms = self._journal.clock_ms()
                return turns.hold_began(clock_ms - (clock_ms if start_ms is None else start_ms))
            case HoldEnded() if turns.held:
                self._journal.tell("hold.ended")
                return turns.hold_ended(now_s)
        return []

    def answered(self, now_s: float) -> list[Action]:
        """Returns what is to be done in place of a greeting; nothing if the caller is to be greeted."""
        do = self.machine.at_start()
        return [] if do is None else self._heed(now_s, do)

    def deadline_s(self) -> float:
        """Returns when `expire` is due; infinity for never."""
        return min(self._turns.deadline_s(), self.machine.deadline_s())

    def expire(self, now_s: float) -> list[Action]:
        """Returns the actions that are due by now."""
        do = self.machine.due(now_s)
        return self._turns.expire(now_s) if do is None else self._heed(now_s, do)

    def _heed(self, now_s: float, do: Do) -> list[Action]:
        """Returns what a machine that has answered calls for."""
        if do is Do.SPEAK:
            return [*self._turns.hold_ended(now_s), EndCall(self._message)]
        self._turns.finished(now_s)
        if do is Do.HANG_UP:
            return [Commit(Reason.VOICEMAIL), EndCall()]
        return [Commit(Reason.VOICEMAIL), *self._turns.hold_began(0)]
