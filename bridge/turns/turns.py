"""Decides who has the floor: pause on a sound, commit on words, resume on nothing. No I/O, the time is handed in.

The caller's sound alone only pauses the agent: a cough, an echo or "mm-hm" must not cost the reply. Words commit: the
reply is dropped. Silence or a listener's noise resumes it where it stopped. Every method returns the actions to carry
out, in order, and `deadline_s` says when `expire` is due.
"""

from __future__ import annotations

import math
from enum import StrEnum

from bridge.turns.actions import Action, Answer, Commit, Pause, PromptCaller, Reason, Resume
from bridge.turns.early import EarlyAnswer
from bridge.turns.kept_words import KeptWords
from bridge.turns.overdue import OverdueWords
from bridge.turns.patience import SPEECH_LIMIT_S, STILL_S, Patience
from bridge.turns.prompts import Prompts
from bridge.turns.protection import BargeInProtection
from bridge.turns.rules import Rules


class Agent(StrEnum):
    """What the agent is doing."""

    IDLE = "idle"
    THINKING = "thinking"
    SPEAKING = "speaking"


class Turns:
    """The turns of one call: it is told what happens, and returns the actions that follow."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.agent = Agent.IDLE
        self.paused = False
        self.caller_speaking = False
        self._interruptible = True
        self._begun_ms = 0
        self._protection = BargeInProtection()
        self._patience = Patience()
        self._words = ""
        """The words so far of what the caller is saying now."""
        self._unmatched_stops = 0
        self._awaiting = False
        """True if a reply was dropped before all the words that dropped it were known."""
        self._overdue = OverdueWords()
        self._asked = ""
        """The words that the present reply answers."""
        self._kept = KeptWords()
        self._resume_s = math.inf
        self._final_s = math.inf
        self._prompts = Prompts(rules)
        self._early = EarlyAnswer(enabled=rules.early_answers)
        self._quiet = True
        """True while the caller makes no sound, were it only for a moment."""

    # The agent ----------------------------------------------------------------------------------------------------

    def began(self, now_s: float, *, audio_ms: int = 0, interruptible: bool = True) -> list[Action]:
        """Notes that a reply has been asked for, when there were `audio_ms` of the caller's audio."""
        if self.agent is not Agent.IDLE:
            return []
        self._early.drop()  # whoever begins a reply has dropped the held one
        self.agent = Agent.THINKING
        self._interruptible = interruptible
        self._begun_ms = audio_ms
        self._awaiting = False
        self._final_s = math.inf
        self._prompts.stop()
        return self._onset(now_s) if self.caller_speaking else []

    def playing(
        self, now_s: float, *, interruptible: bool = True, protect_ms: int = 0, filler: bool = False
    ) -> list[Action]:
        """Notes that an utterance's first sound has left; its first `protect_ms` may not be interrupted.

        While a filler plays the agent goes on thinking: words that add nothing must not drop the answer to come.
        """
        if self.agent is not Agent.SPEAKING:
            self._protection.hold(now_s + self.rules.echo_guard_ms / 1000)
        if filler:
            return []
        self.agent = Agent.SPEAKING
        self._protection.hold(now_s + protect_ms / 1000)
        was_interruptible, self._interruptible = self._interruptible, interruptible
        if interruptible and not was_interruptible and self.caller_speaking:
            return self._onset(now_s)  # they spoke on, into what may be interrupted
        return []

    def finished(self, now_s: float) -> list[Action]:
        """Notes that all of the reply has been played, or that it had nothing to say."""
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
        """Notes that the caller began a sound that may be speech."""
        if self._stale(audio_start_ms):
            return []
        if not self.caller_speaking:
            self._words = ""
            self._patience.sound_began(now_s)
            if self.agent is Agent.IDLE:
                self._prompts.sound_goes_on(now_s, self._patience.longest_s())
        if self.agent is Agent.IDLE:  # the answer to those words is over, and what comes now belongs to this sound
            self._overdue.clear()
        self.caller_speaking = True
        self._quiet = False
        if self._awaiting:
            self._final_s = now_s + SPEECH_LIMIT_S
        return self._onset(now_s)

    def speech_paused(self) -> list[Action]:
        """Notes that the caller has made no sound for a moment, and may be done."""
        self._quiet = True
        return (
            self._early.maybe_over(self._kept.before(self._words)) if self.agent is Agent.IDLE and self._words else []
        )

    def speech_resumed(self) -> None:
        """Notes that the caller was not done."""
        self._quiet = False

    def speech_stopped(self, now_s: float) -> list[Action]:
        """Notes that the caller's sound is over."""
        if not self.caller_speaking:
            return []
        self.caller_speaking = False
        self._unmatched_stops += 1
        self._quiet = True
        self._patience.sound_ended(now_s)
        if self.agent is Agent.IDLE and (self._words or self._awaiting or self._kept):
            self._final_s = now_s + self.rules.final_timeout_ms / 1000
            return self._early.maybe_over(self._kept.before(self._words)) if self._words else []
        if self.agent is Agent.IDLE:
            self._prompts.sound_over(now_s)
        if self.paused:
            if self._words and self.rules.backchannels.all_of(self._words):
                return self._resume()
            self._resume_s = now_s + self.rules.false_interruption_timeout_ms / 1000
        return []

    def partial(self, now_s: float, text: str, audio_start_ms: int | None = None) -> list[Action]:
        """Takes the words so far of what the caller is saying."""
        if not text or self._stale(audio_start_ms):
            return []
        text = self._overdue.rest(text)
        if not text:
            return []  # those words are being answered
        if self.caller_speaking and not self._words:
            self._patience.words_came(now_s)
        is_new, self._words = self._patience.hears_more(now_s, text, first=not self._words), text
        self._prompts.stop()
        if self.agent is Agent.IDLE:
            if is_new or self._final_s == math.inf:
                self._final_s = now_s + self._final_wait_s()
            else:  # it has looked again, and heard no more
                self._final_s = min(self._final_s, max(self._patience.still_s(), now_s))
            said = self._kept.before(text)
            return self._early.maybe_over(said) if self._quiet else self._early.goes_on(said)
        actions: list[Action] = []
        if not self.caller_speaking and not self._unmatched_stops:  # a service without speech events
            self.caller_speaking = True
            if not self._interrupts(text, unfinished=True):
                actions = self._onset(now_s)
            elif self._protection.holds(now_s):
                self._protection.sound = True
        if self.paused and self.caller_speaking and is_new:
            self._resume_s = now_s + self._patience.limit_s(STILL_S)
        if self.agent is Agent.SPEAKING and not self._protection.sound and self._interrupts(text, unfinished=True):
            return self._commit(now_s, Reason.WORDS)
        return actions

    def transcript(self, now_s: float, text: str, audio_start_ms: int | None = None) -> list[Action]:
        """Takes all the words of a stretch of speech; an empty text if there were none."""
        if self._stale(audio_start_ms):
            return []
        if not text:
            self._overdue.clear()
        if self._overdue:
            text = self._overdue.settle(text, thinking=self.agent is Agent.THINKING)
            if not text:
                self._unmatched_stops = max(self._unmatched_stops - 1, 0)
                return []
        if text and not self._words:
            self._patience.words_followed()
        if self._unmatched_stops:
            self._unmatched_stops -= 1
        else:
            self.caller_speaking = False
        heard, self._words = text or (self._words if self._awaiting else ""), ""
        match self.agent:
            case Agent.IDLE:
                if heard or (self._kept and not self.caller_speaking):
                    return self._answer(heard)
                dropped = self._early.drop()
                if self._awaiting and not self.caller_speaking:
                    self._awaiting = False
                    self._final_s = math.inf
                    return [*dropped, PromptCaller()]  # a sound ended the reply, and there were no words in it
                if not self.caller_speaking:
                    self._final_s = math.inf
                    self._prompts.nothing_recognised(now_s)
                return dropped
            case Agent.THINKING if heard and self._interruptible and not self.rules.adds_nothing(heard, self._asked):
                return [*self._commit(now_s, Reason.RESTART), *self._answer(heard)]
            case Agent.SPEAKING if self._interrupts(heard) and self._protection.sound and self._protection.holds(now_s):
                self._protection.hear(heard)
                return []
            case Agent.SPEAKING if self._interrupts(heard):
                return [*self._commit(now_s, Reason.WORDS), *self._answer(heard)]
        if not self._interruptible:
            self._kept.add(heard)
        return self._resume() if self.paused and not self.caller_speaking else []

    def digit(self, now_s: float) -> list[Action]:
        """Notes that a key was pressed, which ends any reply, protected or not."""
        self._kept.clear()
        self._protection.end()
        if self.agent is Agent.IDLE:
            self._final_s = math.inf
            self._prompts.stop()
            return self._early.drop()
        actions = self._commit(now_s, Reason.DTMF)
        self._awaiting = False
        self._final_s = math.inf
        return actions

    # Time ---------------------------------------------------------------------------------------------------------

    def deadline_s(self) -> float:
        """Returns when `expire` is due; infinity for never."""
        return min(self._resume_s, self._final_s, self._prompts.deadline_s(), self._protection.deadline_s())

    def expire(self, now_s: float) -> list[Action]:
        """Returns the actions that are due by now."""
        actions: list[Action] = []
        if self._protection.deadline_s() <= now_s:
            actions += self._protection_ended(now_s)
        if self._resume_s <= now_s:
            self.caller_speaking = False
            actions += self._resume()
        if self._final_s <= now_s:
            self._final_s = math.inf
            self.caller_speaking = False
            if self._words or self._kept:
                self._overdue.answered(self._words)
                actions += self._answer(self._words)
            elif self._awaiting:
                self._awaiting = False
                self._prompts.stop()
                actions.append(PromptCaller())
        if prompts := self._prompts.due(now_s):
            self.caller_speaking = False  # a sound that has no end is no speech
            actions += [*self._early.drop(), *prompts]
        return actions

    # Inside -------------------------------------------------------------------------------------------------------

    def _onset(self, now_s: float) -> list[Action]:
        if self.agent is Agent.IDLE or not self._interruptible:
            return []
        if self._protection.holds(now_s) and not self.paused:
            self._protection.sound = True
            return []
        if self.agent is Agent.SPEAKING and self.rules.min_interrupt_words == 0:
            return self._commit(now_s, Reason.SPEECH)
        least_s = STILL_S if self._words else self.rules.false_interruption_timeout_ms / 1000
        self._resume_s = now_s + self._patience.limit_s(least_s)
        if self.paused:
            return []
        self.paused = True
        return [Pause()]

    def _protection_ended(self, now_s: float) -> list[Action]:
        final = self._protection.end()
        if self.agent is Agent.IDLE or not self._interruptible:
            self._kept.add(final)
            return []
        if final:
            return [*self._commit(now_s, Reason.WORDS), *self._answer(final)]
        if self.agent is Agent.SPEAKING and self._words and self._interrupts(self._words, unfinished=True):
            return self._commit(now_s, Reason.WORDS)
        return self._onset(now_s) if self.caller_speaking else []

    def _commit(self, now_s: float, reason: Reason) -> list[Action]:
        self._idle(now_s)
        self._awaiting = True
        self._prompts.stop()
        self._final_s = now_s + self._final_wait_s()
        return [Commit(reason)]

    def _final_wait_s(self) -> float:
        """Returns how long the final transcript of the caller's present words is waited for."""
        if not self.caller_speaking:
            return self.rules.final_timeout_ms / 1000
        return self._patience.limit_s(STILL_S) if self._words else SPEECH_LIMIT_S

    def _idle(self, now_s: float) -> None:
        self.agent = Agent.IDLE
        self.paused = False
        self._resume_s = math.inf
        self._kept.add(self._protection.end())
        self._interruptible = True
        self._asked = ""
        if self.caller_speaking:
            self._prompts.sound_goes_on(now_s, self._patience.longest_s())
        else:
            self._prompts.wait(now_s)

    def _resume(self) -> list[Action]:
        self._resume_s = math.inf
        if not self.paused:
            return []
        self.paused = False
        return [Resume()]

    def _answer(self, text: str) -> list[Action]:
        said = self._kept.before(text)
        before, prepared = self._early.take(said)
        self._kept.clear()
        self._words = ""
        self._awaiting = False
        self._final_s = math.inf
        self._prompts.stop()
        self._asked = said
        return [*before, Answer(said, prepared)]

    def _interrupts(self, text: str, *, unfinished: bool = False) -> bool:
        return self._interruptible and self.rules.interrupts(text, unfinished=unfinished)

    def _stale(self, audio_start_ms: int | None) -> bool:
        """Tells whether a sound is older than the reply that it would interrupt."""
        return self.agent is not Agent.IDLE and audio_start_ms is not None and audio_start_ms < self._begun_ms
