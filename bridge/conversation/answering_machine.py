"""Finds out that voicemail or a menu has answered a call, and says what is to be done. No I/O, injected clock.

It looks only at calls whose dialplan has registered the variable `amd`, which holds the verdict of Asterisk's `AMD()`
or is empty: somebody who calls in is a person, whatever they say.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, Literal

from bridge.conversation.journal import Journal
from bridge.hearing.events import Beep, Heard, Partial, SpeechStarted, SpeechStopped, Transcript

AMD: Final = "amd"
"""The variable that makes a call one that a machine may answer."""
OnVoicemail = Literal["go_on", "hang_up", "message"]

FIRST_S: Final = 30.0
"""How long after the answer words and beeps may be a machine's."""
QUIET_S: Final = 4.0
"""A machine that has been silent for so long records, whether it has beeped or not."""
LONGEST_S: Final = 45.0
"""A machine that talks for so long is talked over."""
_VOICEMAIL: Final = re.compile(
    r"\b(?:after|at) the (?:tone|beep|signal)\b"
    r"|\bleave (?:a|your|us a|me a) (?:\w+ )?message\b|\brecord your message\b"
    r"|\breached the (?:voice ?mail|mailbox|answering)|\b(?:voice ?mail|mail) ?box\b"
    r"|\bnot available (?:to take|right now|at the moment)\b",
    re.IGNORECASE,
)
_MENU: Final = re.compile(
    r"\b(?:press|dial|push) (?:\w+ )?(?:zero|one|two|three|four|five|six|seven|eight|nine|\d|star|hash|pound)\b"
    r"|\bfollowing (?:options|menu)\b|\bmain menu\b",
    re.IGNORECASE,
)


class Do(StrEnum):
    """What is to be done about the machine."""

    WAIT = "wait"
    SPEAK = "speak"
    HANG_UP = "hang up"


class AnsweringMachine:
    """Who has answered one call: `answered_by` is person, voicemail, menu, or empty where nobody can tell yet."""

    def __init__(
        self, variables: Mapping[str, str], on_voicemail: OnVoicemail, journal: Journal, now_s: Callable[[], float]
    ) -> None:
        self.answered_by = ""
        self.waits = False
        """True while a voicemail's greeting is waited out: nobody is listened to."""
        self._amd = variables.get(AMD)
        self._on_voicemail = on_voicemail
        self._journal = journal
        self._now_s = now_s
        self._begun_s = now_s()
        self._due_s = math.inf

    def at_start(self) -> Do | None:
        """Returns what is to be done in place of a greeting."""
        verdict = (self._amd or "").upper()
        if verdict == "HUMAN":
            self._found("person", "amd")
        return self._voicemail("amd") if verdict == "MACHINE" else None

    def heard(self, event: Heard) -> Do | None:
        """Takes what is heard of whoever has answered."""
        if self._amd is None:
            return None
        if self.waits:
            return self._while_waiting(event)
        if self.answered_by == "voicemail" or self._now_s() - self._begun_s > FIRST_S:
            return None
        match event:
            case Beep() if self.answered_by != "person":
                return self._voicemail("beep")
            case Partial(text) | Transcript(text) if _VOICEMAIL.search(text):
                return self._voicemail("words")
            case Partial(text) | Transcript(text) if _MENU.search(text) and self.answered_by != "menu":
                self._found("menu", "words")
        return None

    def deadline_s(self) -> float:
        """Returns when `due` has something to return; infinity for never."""
        return min(self._due_s, self._begun_s + LONGEST_S) if self.waits else math.inf

    def due(self, now_s: float) -> Do | None:
        """Returns what is to be done by now."""
        return self._speak() if now_s >= self.deadline_s() else None

    def _while_waiting(self, event: Heard) -> Do | None:
        match event:
            case Beep():
                return self._speak()
            case SpeechStarted():
                self._due_s = math.inf
            case SpeechStopped():
                self._due_s = self._now_s() + QUIET_S
        return None

    def _voicemail(self, by: str) -> Do | None:
        self._found("voicemail", by)
        if self._on_voicemail == "hang_up":
            return Do.HANG_UP
        if self._on_voicemail == "go_on":
            return None
        if by == "beep":
            return Do.SPEAK
        self.waits = True
        if by == "amd":  # the machine may be done with its greeting already
            self._due_s = self._now_s() + QUIET_S
        return Do.WAIT

    def _speak(self) -> Do:
        self.waits, self._due_s = False, math.inf
        return Do.SPEAK

    def _found(self, who: str, by: str) -> None:
        self.answered_by = who
        self._journal.tell("call.answered_by", who=who, by=by)
