"""Turns the detector's probabilities into starts, pauses and ends of speech. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.hearing.caller_voice import CallerVoice
from bridge.hearing.events import SpeechPaused, SpeechResumed, SpeechStarted, SpeechStopped, Voiced
from bridge.hearing.voice_traits import Traits

WINDOW_MS: Final = 32
"""How much audio one probability is about."""
SURE: Final = 0.8
SURE_DBFS: Final = -30.0
"""One window so likely speech, and so loud, interrupts the agent: two of them tell a caller 20 ms later. No click,
knock or cough was as sure; a loud echo is at times. Where others may speak beside the caller, two windows are compared
with the caller's."""
LEARN_EVERY: Final = 2
"""Of how many windows of the caller's one is looked at to learn how their voice is: a look takes a third of a ms."""
MOST_QUIET_MS: Final = 128
"""How much of the sound before a silence may have been quiet already, and counts as silence too."""


@dataclass(frozen=True, slots=True)
class GateRules:
    """When a sequence of probabilities is speech."""

    start_probability: float = 0.5
    stop_probability: float = 0.35
    start_ms: int = 64
    """How much speech makes a start: a click is shorter."""
    stop_ms: int = 480
    """How much silence makes an end: a pause within a sentence is shorter."""
    pause_ms: int = 0
    """How much silence may be an end; 0 to tell of none."""
    min_level_dbfs: float = -40.0
    """While the agent speaks, sound below this level is taken for its echo."""
    side_talk_db: float = 0.0
    """While the agent speaks, a voice softer than the caller's by more than this is not theirs; 0 for never. Less is
    enough where it is unlike theirs."""
    tells_hold: bool = False
    """Whether music and tones are told as hold."""
    tells_beeps: bool = False
    """Whether short tones are told, as that of a voicemail."""


class SpeechGate:
    """Takes one probability for each window."""

    def __init__(self, rules: GateRules, offset_ms: int = 0) -> None:
        self.beside = False
        """True while somebody beside the caller speaks, and for a moment after."""
        self._rules = rules
        self.at_ms = offset_ms
        """Where the latest window ended."""
        self._speaking = False
        self._paused = False
        self._run_ms = 0
        """The duration of the latest windows in a row that speak for a change."""
        self._stop_ms = rules.stop_ms
        """How much silence makes an end now."""
        self._voice = CallerVoice(rules.side_talk_db)
        self._learns = False
        """What is said now began while the agent was silent. What interrupts may be somebody else's, who would be taken
        for the caller from then on."""
        self._unvoiced_ms = 0

    def end_after(self, stop_ms: int, paused_ms: int) -> Voiced | None:
        """Lets the silence that began at `paused_ms` make an end after `stop_ms`, if it still goes on.

        Returns the end if the silence has lasted so long already: the next window would tell no more.
        """
        if not self._paused or self.at_ms - self._run_ms != paused_ms:
            return None
        self._stop_ms = stop_ms
        return self._ended() if self._run_ms >= stop_ms else None

    def skip(self) -> None:
        """Passes over a window that nobody judges."""
        self.at_ms += WINDOW_MS

    def compares(self, *, agent_speaks: bool) -> bool:
        """Tells whether the traits of a voice in the next window are of use."""
        if not self._rules.side_talk_db:
            return False
        if self._speaking:
            return self._learns and not agent_speaks and self.at_ms // WINDOW_MS % LEARN_EVERY == 0
        return agent_speaks or self.beside

    def push(
        self,
        probability: float,
        level_dbfs: float = 0.0,
        *,
        quiet_ms: int = 0,
        agent_speaks: bool = False,
        may_echo: bool = True,
        traits: Traits | None = None,
    ) -> Voiced | None:
        """Takes the next window, and for how long it has been quiet at its end. Returns what it makes, or None.

        While the agent speaks its sound `may_echo`, or it is known not to. The `traits` of a voice in the window are
        needed only to know it from the caller's.
        """
        self.at_ms += WINDOW_MS
        if agent_speaks and level_dbfs < self._rules.min_level_dbfs:
            if probability >= self._rules.start_probability and self._rules.side_talk_db:
                self.beside, self._unvoiced_ms = True, -WINDOW_MS  # a voice, and too faint to be the caller's
            probability = 0.0
        voiced = probability >= self._rules.start_probability
        self._voice.hear(level_dbfs, traits, voiced=voiced)
        if self._speaking:
            if voiced and self._learns and not agent_speaks:
                self._voice.learn(level_dbfs, traits)
            return self._while_speaking(probability, quiet_ms)
        self._run_ms = self._run_ms + WINDOW_MS if voiced else 0
        self._unvoiced_ms = 0 if voiced else self._unvoiced_ms + WINDOW_MS
        if self._unvoiced_ms >= self._rules.stop_ms:
            self.beside = False
        by_one = agent_speaks and not may_echo and not self._rules.side_talk_db
        sure = by_one and probability >= SURE and level_dbfs >= SURE_DBFS
        if self._run_ms < self._rules.start_ms and not sure:
            return None
        if (agent_speaks or self.beside) and self._voice.is_beside():
            self.beside = True
            return None
        if self.beside:  # the caller is heard from now on, not from when the other began
            self._run_ms = self._rules.start_ms
        self._speaking, self.beside, self._learns = True, False, not agent_speaks
        started_ms, self._run_ms = self.at_ms - self._run_ms, 0
        return SpeechStarted(started_ms)

    def _while_speaking(self, probability: float, quiet_ms: int) -> Voiced | None:
        if probability >= self._rules.stop_probability:
            self._run_ms = 0
        elif self._run_ms:
            self._run_ms += WINDOW_MS
        else:  # the silence began when it became quiet
            self._run_ms = min(max(quiet_ms, WINDOW_MS), WINDOW_MS + MOST_QUIET_MS)
        if not self._run_ms:
            self._stop_ms = self._rules.stop_ms
        elif self._run_ms >= self._stop_ms:
            return self._ended()
        if self._paused and not self._run_ms:
            self._paused = False
            return SpeechResumed()
        if not self._paused and self._rules.pause_ms and self._run_ms >= self._rules.pause_ms:
            self._paused = True
            return SpeechPaused(self.at_ms - self._run_ms)
        return None

    def _ended(self) -> SpeechStopped:
        self._speaking = self._paused = False
        self._voice.learnt()
        ended_ms, self._run_ms, self._stop_ms = self.at_ms - self._run_ms, 0, self._rules.stop_ms
        return SpeechStopped(ended_ms)
