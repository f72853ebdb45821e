"""One call's conversation: it takes what the caller says to the brain, and what the brain says to the caller.

`Turns` decides who may interrupt whom. Every task and timer started here belongs to the call and ends with it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from dataclasses import replace
from typing import Any

import structlog

from bridge.brains.brain import AfterTurn, HandOver, Piece, fill
from bridge.conversation.answering_machine import AnsweringMachine
from bridge.conversation.call_agent import CallAgent
from bridge.conversation.call_rules import turn_rules
from bridge.conversation.caller_events import CallerEvents
from bridge.conversation.digits import Digits
from bridge.conversation.echo_text import EchoText
from bridge.conversation.going_on import first_words
from bridge.conversation.memory import Memory
from bridge.conversation.metrics import ConversationMetrics
from bridge.conversation.recording import CallRecording
from bridge.conversation.reply import Filler
from bridge.conversation.speaking import NOTHING, Speaking
from bridge.conversation.talk import Talk
from bridge.conversation.trace import Mark, TurnTrace
from bridge.conversation.waiting import Waiting
from bridge.hearing.events import EventReader, Heard, InboundEvent
from bridge.hearing.listening import LocalEar, Recognizer
from bridge.journal.privacy import Privacy
from bridge.line.call import Call, State
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
from bridge.turns.present_reply import Activity
from bridge.turns.turns import Turns

log = structlog.get_logger(__name__)


class Conversation(Talk):
    """The conversation of one call with a brain that is told words and makes words."""

    def __init__(
        self,
        call: Call,
        agent: CallAgent,
        metrics: ConversationMetrics,
        *,
        variables: dict[str, str] | None = None,
        recording: CallRecording | None = None,
        privacy: Privacy | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = agent.settings
        super().__init__(
            call,
            settings,
            metrics,
            destinations=agent.agent.destinations,
            variables=variables,
            recording=recording,
            privacy=privacy,
            now_s=now_s,
        )
        self.agent = agent
        self._turns = Turns(turn_rules(settings))
        self._waiting = Waiting(agent.filler, now_s)
        self._reader = EventReader()
        self._digits = Digits(agent.brain.digit_gap_ms, self._pressed)
        self._echo_text = EchoText(now_s) if settings.echo_text else None
        machine = AnsweringMachine(self.variables, settings.on_voicemail, self.journal, now_s)
        message = fill(settings.voicemail_message, self.variables)
        self._events = CallerEvents(self._turns, self._caller, self.journal, self._echo_text, machine, message)
        self._speaking = Speaking(call, agent, self, self.journal, metrics, now_s)

    def start(
        self, recognizer: Recognizer | None = None, ear: LocalEar | None = None, earlier: Memory | None = None
    ) -> None:
        """Starts to listen to the caller, and says the greeting or goes on with an earlier call."""
        self.call.observe(self, self._speaking, self._silence)
        if self._echo_text is not None:
            self.call.observe(self._echo_text)
        self._begin_records()
        self.listening.start(recognizer, ear)
        machine, protect_ms = self._events.answered(self._now_s()), self.agent.settings.greeting_protection_ms
        if not machine:
            self._speaking.begin(self._first_words(earlier), TurnTrace(), Filler(), protect_ms)
        self._do(machine or self._turn_began())

    def _first_words(self, earlier: Memory | None) -> AsyncGenerator[Piece]:
        brain = self.agent.brain
        if earlier is None:
            return brain.greet()
        words, at_once = first_words(self.agent.settings, earlier, self.variables)
        return brain.go_on(earlier.brain, earlier.event(self.variables), words, at_once=at_once)

    def caller_changed(self, number: str, name: str) -> None:
        super().caller_changed(number, name)
        self.agent.brain.caller_changed(self.variables)

    def memory(self) -> Memory:
        agent = self.agent.agent
        language = agent.language if agent.languages else ""
        return replace(super().memory(), language=language, brain=self.agent.brain.memory())

    # From outside -------------------------------------------------------------------------------------------------

    def say(self, text: str | AsyncIterable[str], *, voice: str | None = None, interruptible: bool = True) -> Utterance:
        utterance = self._speaking.say(text, voice=voice, interruptible=interruptible)
        if not utterance.done:
            self._do(self._turn_began(interruptible=interruptible))
        return utterance

    def interrupt(self) -> Interruption:
        self._silence.signal()
        self._waiting.over()
        interruption = self._speaking.cut("interrupt")
        self._do(self._turns.finished(self._now_s(), cut=True))
        return interruption

    def _cut(self, reason: str) -> None:
        self._speaking.cut(reason)

    def event(self, event: InboundEvent) -> Interruption:
        heard = self._reader.read(event)
        return NOTHING if heard is None else self.heard(heard)

    def heard(self, event: Heard) -> Interruption:
        """Takes what a recogniser heard; returns what it did to the agent's speech."""
        if self.call.state is not State.ACTIVE:
            return NOTHING
        return self._do(self._events.take(self._now_s(), event))

    @property
    def agent_name(self) -> str:
        return self.agent.name

    def _model(self) -> str:
        settings = self.agent.settings
        return settings.llm_model if settings.llm_base_url else ""

    def _agent(self) -> dict[str, Any]:
        answered_by = self._events.machine.answered_by or None
        return {"agent": self._turns.agent.value, "paused": self._turns.paused, "answered_by": answered_by}

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
                    due += self._begin(self.agent.brain.silence(), TurnTrace(), is_prompt=True)
                case AskAgain():
                    due += self._begin(self.agent.brain.misheard(), TurnTrace(), is_prompt=True)
                case EndCall(text):
                    self.hang_up(text)
        self._arm()
        return interruption

    def _answer(self, text: str, *, prepared: bool) -> list[Action]:
        trace = self._caller.trace()
        if prepared and self._speaking.confirm(trace):
            self.agent.brain.confirm()
            return self._turn_began()
        return self._begin(self.agent.brain.answer(text), trace)

    def _begin(self, pieces: AsyncGenerator[Piece], trace: TurnTrace, *, is_prompt: bool = False) -> list[Action]:
        """Begins a reply made by the brain; returns the actions that the turns ask for now."""
        if self.call.state is not State.ACTIVE:
            return []
        self._speaking.begin(pieces, trace, self._waiting.filler())
        return self._turn_began(is_prompt=is_prompt)

    def _turn_began(self, *, interruptible: bool = True, is_prompt: bool = False) -> list[Action]:
        now_s = self._now_s()
        return self._turns.began(now_s, audio_ms=self.audio_ms, interruptible=interruptible, is_prompt=is_prompt)

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
            self._hand_over(action, " ".join(due.text for due in actions if isinstance(due, Answer)))
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

    def _hand_over(self, action: HandOver, said: str) -> None:
        """Gives the call to another agent, with what the caller has `said` while the earlier one spoke."""
        if self.call.state is not State.ACTIVE:
            return
        before = self.agent.name
        pieces = self.agent.hand_over(action, said)
        self._tell_handed_over(before, action.reason)
        self._adapt()
        self._speaking.begin(pieces, self._caller.trace() if said else TurnTrace(), self._waiting.filler())
        self._do(self._turns.began(self._now_s(), audio_ms=None))

    def _adapt(self) -> None:
        """Goes by the settings of an agent that has taken over, or of another language, in what is done from now on."""
        agent = self.agent.agent
        self._go_by(agent.settings, agent.destinations)
        self._waiting.base = self.agent.filler
        self._digits.gap_ms = self.agent.brain.digit_gap_ms
        self.listening.listen_in(agent.settings.asr_language)

    def _waits(self) -> bool:
        turns = self._turns
        return turns.agent is not Activity.IDLE and not turns.caller_speaking and not turns.held

    def _due_s(self) -> float:
        return self._events.deadline_s()

    def _do_due(self) -> None:
        self._do(self._events.expire(self._now_s()))

    # Keys ---------------------------------------------------------------------------------------------------------

    def digit_received(self, digit: str) -> None:
        if self.call.state is State.ACTIVE:
            self.journal.tell("dtmf", digit=digit)
            self._do(self._turns.digit(self._now_s()))
            entering = self._digits.waiting or self.agent.brain.awaits_keys
            if (key := self._keys.get(digit)) is None or entering:
                self._digits.press(digit)
            else:
                self.agent.brain.key_taken(digit)
                self._do(self._begin(key.pieces(self.variables), TurnTrace()))

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
        self._digits.cancel()
        super().call_ended(call)
