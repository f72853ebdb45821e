"""Takes what is heard of the caller to the turns, and to the notes of who spoke when. No I/O, the time is handed in."""

from __future__ import annotations

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
from bridge.turns.actions import Action
from bridge.turns.turns import Turns


class CallerEvents:
    """The events of one call. What is heard while the line is on hold is nobody's."""

    def __init__(self, turns: Turns, caller: CallerSpeech, journal: Journal, echo_text: EchoText | None) -> None:
        self._turns = turns
        self._caller = caller
        self._journal = journal
        self._echo_text = echo_text

    def take(self, now_s: float, event: Heard) -> list[Action]:
        """Returns what an event calls for."""
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
