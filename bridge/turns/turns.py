"""Decides who may speak, and who is interrupted. No I/O, the time is handed in.

The caller's sound alone only pauses the agent: a cough, an echo or "mm-hm" must not cost the reply. Words commit: the
reply is dropped. Silence or a listener's noise resumes it where it stopped. Every method returns the actions to carry
out, in order, and `deadline_s` says when `expire` is due.
"""

from __future__ import annotations

import math

from bridge.turns.actions import Action, Commit, PromptCaller, Reason, TakeBack
from bridge.turns.caller_sound import CallerSound
from bridge.turns.impatience import Impatience
from bridge.turns.patience import SPEECH_LIMIT_S, STILL_S, Patience
from bridge.turns.pausing import Pausing
from bridge.turns.present_reply import Activity, PresentReply
from bridge.turns.prompts import Prompts
from bridge.turns.protection import BargeInProtection
from bridge.turns.question import Question
from bridge.turns.rules import Rules


class Turns:
    """The turns of one call: it is told what happens, and returns the actions that follow."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._reply = PresentReply()
        self._went_on = False
        """True if the caller's present sound began before they can have reacted to the reply that it meets."""
        self._protection = BargeInProtection()
        self._patience = Patience()
        self._impatience = Impatience()
        self._pausing = Pausing()
        self._question = Question(rules, self._patience)
        self._sound = CallerSound(self._patience)
        self._prompts = Prompts(rules)

    @property
    def agent(self) -> Activity:
        """What the agent is doing."""
        return self._reply.agent

    @property
    def paused(self) -> bool:
        """Tells whether the agent's reply is paused."""
        return self._pausing.paused

    @property
    def held(self) -> bool:
        """Tells whether the caller has the line on hold."""
        return self._pausing.held

    @property
    def caller_speaking(self) -> bool:
        """Tells whether the caller makes a sound that may be speech."""
        return self._sound.goes_on

    # The agent ----------------------------------------------------------------------------------------------------

    def began(
        self, now_s: float, *, audio_ms: int | None = 0, interruptible: bool = True, is_prompt: bool = False
    ) -> list[Action]:
        """Notes that a reply has been asked for, when there were `audio_ms` of the caller's audio.

        None stands for as much as when the reply before it was asked for, with which it goes on.
        """
        if self.agent is not Activity.IDLE:
            return []
        self._question.drop_early()  # whoever begins a reply has dropped the held one
        self._reply.begins(audio_ms, interruptible=interruptible, is_prompt=is_prompt)
        self._question.stop_waiting()
        self._prompts.stop()
        if self._pausing.held:
            return self._pausing.pause()
        return self._onset(now_s) if self.caller_speaking else []

    def playing(
        self, now_s: float, *, interruptible: bool = True, protect_ms: int = 0, filler: bool = False
    ) -> list[Action]:
        """Notes that an utterance's first sound has left; its first `protect_ms` may not be interrupted.

        While a filler plays the agent goes on thinking: words that add nothing must not drop the answer to come.
        """
        if self.agent is not Activity.SPEAKING:
            self._protection.hold(now_s + self.rules.echo_guard_ms / 1000)
        if filler:
            return []
        was_interruptible = self._reply.interruptible
        self._reply.sounds(now_s, interruptible=interruptible)
        self._impatience.heard(now_s)
        self._protection.hold(now_s + protect_ms / 1000)
        if interruptible and not was_interruptible and self.caller_speaking:
            return self._onset(now_s)  # they spoke on, into what may be interrupted
        return []

    def finished(self, now_s: float, *, cut: bool = False) -> list[Action]:
        """Notes that all of the reply has been played, or that it had nothing to say, or that somebody has `cut` it."""
        if self.agent is Activity.IDLE:
            return []
        self._idle(now_s)
        self._question.reply_over(now_s, cut=cut)
        if not self._question.kept:
            if self._question.words and not cut:  # said into what could not be interrupted, and not told in full yet
                self._question.await_final(now_s, speaking=self.caller_speaking)
            return []
        if self.caller_speaking:
            self._question.due_s = now_s + SPEECH_LIMIT_S
            return []
        return self._answer("")

    # The caller ---------------------------------------------------------------------------------------------------

    def speech_started(self, now_s: float, audio_start_ms: int | None = None) -> list[Action]:
        """Notes that the caller began a sound that may be speech."""
        if not self._reply.is_about(audio_start_ms):
            return []
        if self._sound.began(now_s):
            self._went_on = self._reply.just_begun(now_s)
            self._question.words = ""
            self._impatience.sound_began(now_s)
            if self.agent is Activity.IDLE:
                self._prompts.sound_goes_on(now_s, self._patience.longest_s())
        if self.agent is Activity.IDLE:  # the answer to those words is over, and what comes now belongs to this sound
            self._question.overdue.clear()
        self._question.quiet = False
        if self._question.awaited:
            self._question.due_s = now_s + SPEECH_LIMIT_S
        return self._onset(now_s)

    def speech_paused(self) -> list[Action]:
        """Notes that the caller has made no sound for a moment, and may be done."""
        self._question.quiet = True
        return self._question.maybe_over() if self.agent is Activity.IDLE else []

    def speech_resumed(self) -> None:
        """Notes that the caller was not done."""
        self._question.quiet = False

    def speech_stopped(self, now_s: float) -> list[Action]:
        """Notes that the caller's sound is over."""
        if not self._sound.ended(now_s):
            return []
        self._question.quiet = True
        if self.agent is Activity.IDLE and self._question:
            self._question.await_final(now_s, speaking=False)
            return self._question.maybe_over()
        if self.agent is Activity.IDLE:
            self._prompts.sound_over(now_s)
        if self._question.words and self.rules.backchannels.all_of(self._question.words):
            return self._pausing.resume()
        self._pausing.lasts_until(now_s + self.rules.false_interruption_timeout_ms / 1000)
        return []

    def partial(self, now_s: float, text: str, audio_start_ms: int | None = None) -> list[Action]:
        """Takes the words so far of what the caller is saying."""
        if not text or not self._reply.is_about(audio_start_ms):
            return []
        question = self._question
        text = question.overdue.rest(text)
        if not text:
            return []  # those words are being answered
        if self.caller_speaking and not question.words:
            self._patience.words_came(now_s)
        is_new, question.words = self._patience.hears_more(now_s, text, first=not question.words), text
        self._prompts.stop()
        if self.agent is Activity.IDLE:
            return question.grows(now_s, is_new=is_new, speaking=self.caller_speaking)
        actions: list[Action] = []
        if self._sound.shown_by_words():
            if not self._interrupts(text, unfinished=True):
                actions = self._onset(now_s)
            elif self._protection.holds(now_s):
                self._protection.sound = True
        if self.caller_speaking and is_new:
            self._pausing.lasts_until(now_s + self._patience.limit_s(STILL_S))
        if self.agent is not Activity.SPEAKING or self._protection.sound:
            return actions
        if self._only_nudges(text) and self._impatience.was_late(now_s):
            return actions
        return self._commit(now_s, Reason.WORDS) if self._interrupts(text, unfinished=True) else actions

    def transcript(self, now_s: float, text: str, audio_start_ms: int | None = None) -> list[Action]:
        """Takes all the words of a stretch of speech; an empty text if there were none."""
        if not self._reply.is_about(audio_start_ms):
            return []
        question, late = self._question, self._impatience.words_complete(now_s)
        if not text:
            question.overdue.clear()
        if question.overdue:
            text = question.overdue.settle(text, thinking=self.agent is Activity.THINKING)
            if not text:
                self._sound.words_are_old()
                return []
        if text and not question.words:
            self._patience.words_followed()
        self._sound.words_complete()
        heard, question.words = text or (question.words if question.awaited else ""), ""
        match self.agent:
            case Activity.IDLE:
                return self._heard_idle(now_s, heard)
            case Activity.THINKING if heard and self._restarts(heard):
                return [*self._commit(now_s, Reason.RESTART), *self._answer(heard)]
            case Activity.THINKING | Activity.SPEAKING if late and self._only_nudges(heard):
                self._impatience.shown = True
                return self._pausing.resume()
            case Activity.SPEAKING if (
                self._interrupts(heard) and self._protection.sound and self._protection.holds(now_s)
            ):
                self._protection.hear(heard)
                return []
            case Activity.SPEAKING if self._interrupts(heard):
                return [*self._commit(now_s, Reason.WORDS), *self._answer(heard)]
        if not self._reply.interruptible:
            question.kept.add(heard)
        elif self.agent is Activity.SPEAKING:
            question.noise(now_s, heard)
        return [] if self.caller_speaking else self._pausing.resume()

    def digit(self, now_s: float) -> list[Action]:
        """Notes that a key was pressed, which ends any reply, protected or not."""
        self._question.kept.clear()
        self._protection.end()
        if self.agent is Activity.IDLE:
            self._question.due_s = math.inf
            self._prompts.stop()
            return self._question.drop_early()
        actions = self._commit(now_s, Reason.DTMF)
        self._question.stop_waiting()
        return actions

    # Hold ---------------------------------------------------------------------------------------------------------

    def hold_began(self, since_ms: int) -> list[Action]:
        """Notes that the caller has had the line on hold for `since_ms`: the agent says nothing, and prompts nobody."""
        self._pausing.held = self._prompts.held = True
        paused = self._pausing.pause() if self.agent is not Activity.IDLE else []
        return [*paused, TakeBack(since_ms)] if paused else []

    def hold_ended(self, now_s: float) -> list[Action]:
        """Notes that the caller is back: a prompt that waited for it is out of date."""
        self._pausing.held = self._prompts.held = False
        if self._reply.is_prompt and self.paused:
            self._idle(now_s)
            return [Commit(Reason.HOLD)]
        if self.agent is Activity.IDLE:
            self._prompts.wait(now_s)
        return [] if self.caller_speaking else self._pausing.resume()

    # Time ---------------------------------------------------------------------------------------------------------

    def deadline_s(self) -> float:
        """Returns when `expire` is due; infinity for never."""
        parts = (self._pausing, self._protection, self._prompts)
        return min(self._question.due_s, *(part.deadline_s() for part in parts))

    def expire(self, now_s: float) -> list[Action]:
        """Returns the actions that are due by now."""
        actions: list[Action] = []
        if self._protection.deadline_s() <= now_s:
            actions += self._protection_ended(now_s)
        if self._pausing.deadline_s() <= now_s:
            self._sound.given_up()
            actions += self._pausing.resume()
        if self._question.due_s <= now_s:
            self._question.due_s = math.inf
            self._sound.given_up()
            if self._question.words or self._question.kept:
                self._question.overdue.answered(self._question.words)
                actions += self._answer(self._question.words)
            elif self._question.awaited:
                self._question.awaited = False
                self._prompts.stop()
                actions.append(PromptCaller())
        if prompts := self._prompts.due(now_s):
            self._sound.given_up()  # a sound that has no end is no speech
            actions += [*self._question.drop_early(), *prompts]
        return actions

    # Inside -------------------------------------------------------------------------------------------------------

    def _heard_idle(self, now_s: float, heard: str) -> list[Action]:
        """Takes all the words of a stretch of speech to which the agent has listened."""
        question = self._question
        if heard or (question.kept and not self.caller_speaking):
            return self._answer(heard)
        dropped = question.drop_early()
        if self.caller_speaking:
            return dropped
        if question.awaited:
            question.stop_waiting()
            return [*dropped, PromptCaller()]  # a sound ended the reply, and there were no words in it
        question.due_s = math.inf
        self._prompts.nothing_recognised(now_s)
        return dropped

    def _onset(self, now_s: float) -> list[Action]:
        if self.agent is Activity.IDLE or not self._reply.interruptible:
            return []
        if self.agent is Activity.THINKING and self._impatience.shown:
            return []  # "hello? … hello?": whoever waits for each of them to end never answers
        if self._protection.holds(now_s) and not self.paused:
            self._protection.sound = True
            return []
        if self.agent is Activity.SPEAKING and self.rules.min_interrupt_words == 0:
            return self._commit(now_s, Reason.SPEECH)
        least_s = STILL_S if self._question.words else self.rules.false_interruption_timeout_ms / 1000
        return self._pausing.pause(now_s + self._patience.limit_s(least_s))

    def _protection_ended(self, now_s: float) -> list[Action]:
        final = self._protection.end()
        if self.agent is Activity.IDLE or not self._reply.interruptible:
            self._question.kept.add(final)
            return []
        if final:
            return [*self._commit(now_s, Reason.WORDS), *self._answer(final)]
        words = self._question.words
        if self.agent is Activity.SPEAKING and words and self._interrupts(words, unfinished=True):
            return self._commit(now_s, Reason.WORDS)
        return self._onset(now_s) if self.caller_speaking else []

    def _commit(self, now_s: float, reason: Reason) -> list[Action]:
        if reason is Reason.WORDS and self._went_on:
            self._question.kept.add(self._reply.asked)  # it was half of what they had to say
        self._went_on = False
        self._idle(now_s)
        self._question.awaited = True
        self._prompts.stop()
        self._question.await_final(now_s, speaking=self.caller_speaking)
        return [Commit(reason)]

    def _idle(self, now_s: float) -> None:
        self._reply.over()
        self._pausing.over()
        self._question.kept.add(self._protection.end())
        self._impatience.over()
        if self.caller_speaking:
            self._prompts.sound_goes_on(now_s, self._patience.longest_s())
        else:
            self._prompts.wait(now_s)

    def _answer(self, text: str) -> list[Action]:
        self._reply.asked, actions = self._question.answer(text)
        self._impatience.over()
        self._prompts.stop()
        return actions

    def _interrupts(self, text: str, *, unfinished: bool = False) -> bool:
        return self._reply.interruptible and self.rules.interrupts(text, unfinished=unfinished)

    def _restarts(self, text: str) -> bool:
        """Tells whether these words change what is asked, so that the answer is begun anew."""
        return self._reply.interruptible and not self.rules.adds_nothing(text, self._reply.asked)

    def _only_nudges(self, text: str) -> bool:
        """Tells whether these words only ask for the answer to what was asked."""
        return bool(self._reply.asked) and self.rules.nudges(text)
