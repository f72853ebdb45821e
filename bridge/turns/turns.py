"""Who has the floor: pause on a sound, commit on words, resume on nothing. No I/O, the time is handed in.

The caller's sound alone only pauses the agent: a cough, an echo or "mm-hm" must not cost the reply. Words commit: the
reply is dropped. Silence or a listener's noise resumes it where it stopped. Every method returns what is to be done, in
order, and `deadline_s` says when `expire` is due.
"""

from __future__ import annotations

import math
from collections import Counter
from enum import StrEnum
from typing import Final

from bridge.turns.actions import Action, Answer, Commit, Pause, PromptCaller, Reason, Resume
from bridge.turns.protection import BargeInProtection
from bridge.turns.rules import Rules
from bridge.turns.words import words

SPEECH_LIMIT_S: Final = 10.0
"""Sound that lasts this long without a word or an end is no speech (or its recogniser is gone)."""
SAME_WORDS: Final = 0.6
"""Share of words in common from which two texts are of the same speech, told twice."""


class Agent(StrEnum):
    """What the agent is doing."""

    IDLE = "idle"
    THINKING = "thinking"
    SPEAKING = "speaking"


class Turns:
    """The turn of one call."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.agent = Agent.IDLE
        self.paused = False
        self.caller_speaking = False
        self._interruptible = True
        self._begun_ms = 0
        self._guard = BargeInProtection()
        self._words = ""
        """Of the speech of now, as far as told."""
        self._onset_s = math.inf
        """When the sound of now began."""
        self._words_after_s = 0.0
        """The longest so far from a sound's beginning to words in it; 0 while the service has told none so early."""
        self._unmatched_stops = 0
        self._awaiting = False
        """A reply was dropped before all the words were known that dropped it."""
        self._overdue: list[str] = []
        """Words that were answered without waiting for their final transcript any longer."""
        self._kept: list[str] = []
        """What was said while the agent could not be interrupted."""
        self._resume_s = math.inf
        self._final_s = math.inf
        self._prompt_s = math.inf

    # The agent ----------------------------------------------------------------------------------------------------

    def began(self, now_s: float, *, audio_ms: int = 0, interruptible: bool = True) -> list[Action]:
        """A reply has been asked for. `audio_ms`: how much of the caller's audio there was by then."""
        if self.agent is not Agent.IDLE:
            return []
        self.agent = Agent.THINKING
        self._interruptible = interruptible
        self._begun_ms = audio_ms
        self._awaiting = False
        self._final_s = self._prompt_s = math.inf
        return self._onset(now_s) if self.caller_speaking else []

    def playing(self, now_s: float, *, interruptible: bool = True, protect_ms: int = 0) -> list[Action]:
        """An utterance's first sound has left; `protect_ms` of it are not to be interrupted."""
        if self.agent is not Agent.SPEAKING:
            self.agent = Agent.SPEAKING
            self._guard.hold(now_s + self.rules.echo_guard_ms / 1000)
        self._guard.hold(now_s + protect_ms / 1000)
        was_interruptible, self._interruptible = self._interruptible, interruptible
        if interruptible and not was_interruptible and self.caller_speaking:
            return self._onset(now_s)  # they spoke on, into what may be interrupted
        return []

    def finished(self, now_s: float) -> list[Action]:
        """All of the reply has been played, or it had nothing to say."""
        if self.agent is Agent.IDLE:
            return []
        self._idle(now_s)
        if not self._kept:
            return []
        if self.caller_speaking:
            self._final_s = now_s + SPEECH_LIMIT_S
            return []
        return self._answer("")

    # The caller ---------------------------------------------------------------------------------------------------

    def speech_started(self, now_s: float, audio_start_ms: int | None = None) -> list[Action]:
        """A sound that may be speech."""
        if self._stale(audio_start_ms):
            return []
        if not self.caller_speaking:
            self._words = ""
            self._onset_s = now_s
        if self.agent is Agent.IDLE:  # their answer is over, and what comes now is of this sound
            self._overdue.clear()
        self.caller_speaking = True
        self._prompt_s = math.inf
        if self._awaiting:
            self._final_s = now_s + SPEECH_LIMIT_S
        return self._onset(now_s, SPEECH_LIMIT_S if audio_start_ms is not None else self._patience_s())

    def speech_stopped(self, now_s: float) -> list[Action]:
        """The sound is over."""
        if not self.caller_speaking:
            return []
        self.caller_speaking = False
        self._unmatched_stops += 1
        if self.agent is Agent.IDLE and (self._words or self._awaiting or self._kept):
            self._final_s = now_s + self.rules.final_timeout_ms / 1000
        elif self.agent is Agent.IDLE:
            self._arm_prompt(now_s)
        if self.paused:
            if self._words and self.rules.backchannels.all_of(self._words):
                return self._resume()
            self._resume_s = now_s + self.rules.false_interruption_timeout_ms / 1000
        return []

    def partial(self, now_s: float, text: str, audio_start_ms: int | None = None) -> list[Action]:
        """Words so far."""
        if not text or self._stale(audio_start_ms):
            return []
        if self.caller_speaking and not self._words:
            self._words_after_s = max(self._words_after_s, now_s - self._onset_s)
        self._words = text
        self._prompt_s = math.inf
        if self.agent is Agent.IDLE:
            self._final_s = now_s + (SPEECH_LIMIT_S if self.caller_speaking else self.rules.final_timeout_ms / 1000)
            return []
        actions: list[Action] = []
        if not self.caller_speaking and not self._unmatched_stops:  # a service without speech events
            self.caller_speaking = True
            if not self._interrupts(text, unfinished=True):
                actions = self._onset(now_s)
            elif self._guard.holds(now_s):
                self._guard.sound = True
        if self.paused:
            self._resume_s = now_s + SPEECH_LIMIT_S if self.caller_speaking else self._resume_s
        if self.agent is Agent.SPEAKING and not self._guard.sound and self._interrupts(text, unfinished=True):
            return self._commit(now_s, Reason.WORDS)
        return actions

    def transcript(self, now_s: float, text: str, audio_start_ms: int | None = None) -> list[Action]:
        """All the words of a stretch of speech."""
        if self._stale(audio_start_ms):
            return []
        overdue, self._overdue = self._overdue, []
        if overdue and _same(overdue, words(text)) and (self.agent is not Agent.THINKING or overdue == words(text)):
            self._unmatched_stops = max(self._unmatched_stops - 1, 0)
            return []
        if self._unmatched_stops:
            self._unmatched_stops -= 1
        else:
            self.caller_speaking = False
        heard, self._words = text or (self._words if self._awaiting else ""), ""
        match self.agent:
            case Agent.IDLE:
                if heard or (self._kept and not self.caller_speaking):
                    return self._answer(heard)
                if self._awaiting and not self.caller_speaking:
                    self._awaiting = False
                    self._final_s = math.inf
                    return [PromptCaller()]  # a sound ended the reply, and there were no words in it
                if not self.caller_speaking:
                    self._final_s = math.inf
                    self._arm_prompt(now_s)
                return []
            case Agent.THINKING if heard and self._interruptible:
                return [*self._commit(now_s, Reason.RESTART), *self._answer(heard)]
            case Agent.SPEAKING if self._interrupts(heard) and self._guard.sound and self._guard.holds(now_s):
                self._guard.hear(heard)
                return []
            case Agent.SPEAKING if self._interrupts(heard):
                return [*self._commit(now_s, Reason.WORDS), *self._answer(heard)]
        if not self._interruptible:
            self._keep(heard)
        return self._resume() if self.paused and not self.caller_speaking else []

    def digit(self, now_s: float) -> list[Action]:
        """A key was pressed: it ends any reply, protected or not."""
        self._kept.clear()
        self._guard.end()
        if self.agent is Agent.IDLE:
            self._prompt_s = self._final_s = math.inf
            return []
        actions = self._commit(now_s, Reason.DTMF)
        self._awaiting = False
        self._final_s = math.inf
        return actions

    # Time ---------------------------------------------------------------------------------------------------------

    def deadline_s(self) -> float:
        """When `expire` is due; infinity for never."""
        return min(self._resume_s, self._final_s, self._prompt_s, self._guard.deadline_s())

    def expire(self, now_s: float) -> list[Action]:
        """Do what is due by now."""
        actions: list[Action] = []
        if self._guard.deadline_s() <= now_s:
            actions += self._guard_ended(now_s)
        if self._resume_s <= now_s:
            self.caller_speaking = False
            actions += self._resume()
        if self._final_s <= now_s:
            self._final_s = math.inf
            self.caller_speaking = False
            if self._words or self._kept:
                self._overdue = words(self._words)
                actions += self._answer(self._words)
            elif self._awaiting:
                self._awaiting = False
                actions.append(PromptCaller())
        if self._prompt_s <= now_s:
            self._prompt_s = math.inf
            actions.append(PromptCaller())
        return actions

    # Inside -------------------------------------------------------------------------------------------------------

    def _patience_s(self) -> float:
        """How long a sound may hold the agent that may be an old one, told again: nothing says when it was.

        Where words are known to come while the caller speaks, one without them is none.
        """
        if self._words or not self._words_after_s:
            return SPEECH_LIMIT_S
        patience_s = max(2 * self._words_after_s, self.rules.false_interruption_timeout_ms / 1000)
        return min(patience_s, SPEECH_LIMIT_S)

    def _onset(self, now_s: float, limit_s: float = SPEECH_LIMIT_S) -> list[Action]:
        if self.agent is Agent.IDLE or not self._interruptible:
            return []
        if self.agent is Agent.SPEAKING and self._guard.holds(now_s) and not self.paused:
            self._guard.sound = True
            return []
        if self.agent is Agent.SPEAKING and self.rules.min_interrupt_words == 0:
            return self._commit(now_s, Reason.SPEECH)
        self._resume_s = now_s + limit_s
        if self.paused:
            return []
        self.paused = True
        return [Pause()]

    def _guard_ended(self, now_s: float) -> list[Action]:
        final = self._guard.end()
        if self.agent is not Agent.SPEAKING or not self._interruptible:
            self._keep(final)
            return []
        if final:
            return [*self._commit(now_s, Reason.WORDS), *self._answer(final)]
        if self._words and self._interrupts(self._words, unfinished=True):
            return self._commit(now_s, Reason.WORDS)
        return self._onset(now_s) if self.caller_speaking else []

    def _commit(self, now_s: float, reason: Reason) -> list[Action]:
        self._idle(now_s)
        self._awaiting = True
        self._prompt_s = math.inf
        self._final_s = now_s + (SPEECH_LIMIT_S if self.caller_speaking else self.rules.final_timeout_ms / 1000)
        return [Commit(reason)]

    def _idle(self, now_s: float) -> None:
        self.agent = Agent.IDLE
        self.paused = False
        self._resume_s = math.inf
        self._keep(self._guard.end())
        self._interruptible = True
        self._arm_prompt(now_s)

    def _resume(self) -> list[Action]:
        self._resume_s = math.inf
        if not self.paused:
            return []
        self.paused = False
        return [Resume()]

    def _answer(self, text: str) -> list[Action]:
        said = " ".join([*self._kept, text] if text else self._kept)
        self._kept.clear()
        self._words = ""
        self._awaiting = False
        self._final_s = self._prompt_s = math.inf
        return [Answer(said)]

    def _keep(self, text: str) -> None:
        """To be answered when the agent is through."""
        if text:
            self._kept.append(text)

    def _arm_prompt(self, now_s: float) -> None:
        timeout_s = self.rules.no_input_timeout_ms / 1000
        self._prompt_s = now_s + timeout_s if timeout_s and not self.caller_speaking else math.inf

    def _interrupts(self, text: str, *, unfinished: bool = False) -> bool:
        return self._interruptible and self.rules.interrupts(text, unfinished=unfinished)

    def _stale(self, audio_start_ms: int | None) -> bool:
        """Of a sound older than the reply that it would interrupt."""
        return self.agent is not Agent.IDLE and audio_start_ms is not None and audio_start_ms < self._begun_ms


def _same(first: list[str], second: list[str]) -> bool:
    """Whether two texts share so many words that they are of the same speech; order counts for nothing."""
    shared = (Counter(first) & Counter(second)).total()
    return 2 * shared >= SAME_WORDS * (len(first) + len(second))
