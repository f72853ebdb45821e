"""One call's conversation with a speech-to-speech service: it hears the caller, decides whose turn it is, and speaks.

The clock, the playout and what was heard stay ours: the service makes sound faster than it is played.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Any, Final

import structlog

from bridge.background import BackgroundTasks
from bridge.brains.brain import AfterTurn, Fallback, HandOver, Say, fill, told_of_caller
from bridge.brains.prompt_lines import PromptLines
from bridge.conversation.digits import Digits
from bridge.conversation.realtime.answer_watch import AnswerWatch
from bridge.conversation.realtime.realtime_agent import RealtimeAgent
from bridge.conversation.realtime.realtime_tools import RealtimeTools, TooManyRounds
from bridge.conversation.realtime.spoken_items import SpokenItem, SpokenItems
from bridge.conversation.realtime.spoken_journal import SpokenJournal
from bridge.conversation.speaking import NOTHING
from bridge.conversation.talk import Talk
from bridge.hearing.events import InboundEvent, SpeechStarted, SpeechStopped
from bridge.line.call import Call, State
from bridge.line.playout import Interruption
from bridge.line.utterance import Utterance
from bridge.realtime import protocol
from bridge.realtime.link import LinkLost, RealtimeLink
from bridge.realtime.protocol import AnswerEnded, Event, FunctionCall

log = structlog.get_logger(__name__)

SERVICE: Final = "realtime"
DIGIT_GAP_MS: Final = 1_500


class RealtimeConversation(Talk):
    """The conversation of one call. `start` is called once."""

    def use(self, link: RealtimeLink, agent: RealtimeAgent, tasks: BackgroundTasks, timeout_ms: int) -> None:
        """Takes what it works with; `link` tells `heard` of the service's events."""
        self._link = link
        self._agent_of_call = agent
        self._tools = RealtimeTools(agent.toolbox, tasks, link.send)
        quiet_s = self._settings.no_input_timeout_ms / 1000
        self._watch = AnswerWatch(timeout_ms / 1000, quiet_s, self._now_s)
        self._timeout_ms = timeout_ms
        self._items = SpokenItems(self.call)
        self._digits = Digits(DIGIT_GAP_MS, self._pressed)
        self._no_input = PromptLines(self._settings.no_input_prompt)
        self._answer = ""
        """The answer that the service is making; empty while it makes none."""
        self._owes_answer = False
        """Whether an answer is to be asked for when the one being made has ended."""
        self._caller_speaks = False
        self._action: AfterTurn | None = None
        """What is to be done when all has been heard."""
        self._failed_once = False
        """Whether the service has failed to answer since it last did."""
        self._leaving = False
        """Whether a key has settled how the call goes on: its words are said, and the service says nothing any more."""
        self._spoken = SpokenJournal(
            str(self.call.id), self.journal, self._metrics, self._now_s, lambda: self.agent_name
        )
        self._cutting = False

    def start(self, instructions: str, greeting: str) -> None:
        """Connects to the service, listens to the caller, and has the service say the greeting."""
        self._greeting = greeting
        self.call.observe(self, self._silence)
        self.listening.audio_listeners.append(self._link.push)
        self._begin_records()
        self.listening.start(None, None)
        self.call.spawn(self._run(instructions))
        self._arm()

    async def _run(self, instructions: str) -> None:
        await self.call.rate_known.wait()
        try:
            await self._link.run(instructions, self._agent_of_call.toolbox.specifications())
        except LinkLost as error:
            self.fail(SERVICE, str(error))

    def caller_changed(self, number: str, name: str) -> None:
        super().caller_changed(number, name)
        self._link.send(protocol.told(told_of_caller(self.variables)))

    # From outside ---------------------------------------------------------------------------------------------------

    def say(self, text: str | AsyncIterable[str], *, voice: str | None = None, interruptible: bool = True) -> Utterance:
        """Queues a text behind what the agent is saying, in the engine's voice. Raises UnknownVoice."""
        return self.call.say(text, voice=voice, interruptible=interruptible)

    def interrupt(self) -> Interruption:
        if self._answer:
            self._link.send(protocol.cancel())
        return self._cut("interrupt")

    def event(self, event: InboundEvent) -> Interruption:
        """Does nothing: the service hears the caller itself."""
        return NOTHING

    @property
    def agent_name(self) -> str:
        return self._agent_of_call.name

    def _agent(self) -> dict[str, Any]:
        speaking = self.call.playout.current is not None
        agent = "speaking" if speaking else "thinking" if self._answer or self._tools.at_work else "idle"
        return {"agent": agent, "paused": False}

    # What the service tells -----------------------------------------------------------------------------------------

    def heard(self, event: Event) -> None:
        """Takes an event of the service."""
        if self.call.state is not State.ACTIVE:
            return
        match event:
            case protocol.Ready():
                if self._greeting:
                    self._ask(protocol.verbatim(self._greeting))
                    self._greeting = ""
                elif not self._waits():  # an agent that has taken over is about to speak
                    self._note_quiet()
            case SpeechStarted(start_ms):
                self._caller_began(start_ms)
            case SpeechStopped(end_ms):
                self._caller_speaks = False
                self._caller.stopped(end_ms)
                self._spoken.trace = self._caller.trace()
                if not self._leaving:
                    self._watch.expect()
            case protocol.CallerSaid(text):
                self._caller.said(text)
                if text:
                    self._no_input.answered()
            case protocol.AnswerBegan(answer) if self._leaving:
                self._items.forget(answer)
                self._link.send(protocol.cancel())
            case protocol.AnswerBegan(answer):
                self._answer = answer
                self._watch.going_on()
            case protocol.Sound(answer, item, pcm):
                if answer == self._answer:
                    self._watch.going_on()
                if self._items.sound(answer, item, pcm) is not None:
                    self._spoken.sounded()
            case protocol.SoundEnded(item):
                self._items.sound_ended(item)
            case protocol.Words(item, text):
                self._items.words(item, text)
            case protocol.WordsEnded(item, text):
                if (found := self._items.words_ended(item, text)) is not None:
                    self._tell_if_over(found)
            case AnswerEnded():
                self._answer_ended(event)
        self._arm()

    def _caller_began(self, start_ms: int | None) -> None:
        self._caller_speaks = True
        self._tools.caller_spoke()
        self._watch.caller_speaks()
        self._caller.started(start_ms)
        if self._leaving:
            return
        current = self.call.playout.current
        if current is not None and not current.interruptible:
            return  # a text over the calls API that must be heard
        if current is not None:
            self._metrics.interruptions.labels("committed").inc()
        self._cut("speech")

    def _answer_ended(self, event: AnswerEnded) -> None:
        if event.id == self._answer:
            self._answer = ""
            self._watch.answered()
        self._items.answer_ended(event.id)
        for item in list(self._items.live):
            self._tell_if_over(item)
        failed_before, self._failed_once = self._failed_once, event.status == "failed"
        if self._failed_once and failed_before:
            self.fail(SERVICE, "it failed to answer, twice")
        elif self._leaving:
            self._finish_if_over()
        elif self._failed_once and not self._caller_speaks:
            self._ask()
        elif event.calls:
            self.call.spawn(self._use_tools(event.calls))
        elif self._owes_answer and not self._caller_speaks:
            self._ask()
        else:
            self._finish_if_over()

    # The agent's turn -----------------------------------------------------------------------------------------------

    def _ask(self, instructions: str = "") -> None:
        """Asks for an answer, now or when the one being made has ended."""
        if self._leaving:
            return
        self._owes_answer = bool(self._answer)
        if not self._answer:
            self._link.send(protocol.answer(instructions))
            self._watch.expect()
            self._arm()

    def _cut(self, reason: str) -> Interruption:
        """Falls silent at once, and tells the service how much of what it has said was heard."""
        self._silence.signal()
        self._action, self._owes_answer, self._leaving = None, False, False
        self._items.forget(self._answer)
        self._tools.cut()
        items = self._items.take_all()
        heard = [(item, item.heard_ms, item.heard_text()) for item in items]
        self._cutting = True
        cut = self.call.interrupt()
        self._cutting = False
        first = NOTHING
        for item, heard_ms, text in heard:
            if not item.utterance.interrupted:  # all of it was heard, and only its words are still to come
                self._spoken.said(item)
                continue
            self._link.send(protocol.truncate(item.id, heard_ms))
            if item.utterance.started:
                self._spoken.cut(item, text, heard_ms, reason)
                first = Interruption(True, text, heard_ms)
        return first if first.interrupted else cut

    def _stop_making(self) -> None:
        self._items.close()

    def _tell_if_over(self, item: SpokenItem) -> None:
        """Puts an item into the journal once it has been played and its words have come."""
        if item.utterance.done and item.words_ended:
            self._items.live.remove(item)
            self._spoken.said(item)

    def _finish_if_over(self) -> None:
        """Carries out the action once all has been heard, or begins to wait for the caller."""
        if self._answer or self._tools.at_work or self._owes_answer or self.call.playout.current is not None:
            return
        if self._action is None:
            self._note_quiet()
        elif isinstance(self._action, HandOver):
            self._hand_over(self._action)
        elif not self.next.is_settled:
            self.next.follow(self._action)
            self.call.hang_up()

    def _hand_over(self, action: HandOver) -> None:
        self._action, self._leaving, agent, before = None, False, self._agent_of_call, self.agent_name
        for message in agent.hand_over(action):
            self._link.send(message)
        self._tools.take(agent.toolbox)
        self._tell_handed_over(before, action.reason)
        self._go_by(agent.agent.settings, agent.agent.destinations)
        self._no_input = PromptLines(self._settings.no_input_prompt)
        self._ask()

    # Tools ----------------------------------------------------------------------------------------------------------

    async def _use_tools(self, calls: list[FunctionCall]) -> None:
        try:
            action = await self._tools.use(calls)
        except TooManyRounds as error:
            self.fail(SERVICE, str(error))
            return
        if self._leaving:
            self._finish_if_over()
            return
        if self.call.state is not State.ACTIVE or self._caller_speaks:
            return  # what the caller says now is answered with what the tools have told
        if action is not None:
            self._action = action
            self._finish_if_over()
        else:
            self._ask()

    # Silence, keys and the time -------------------------------------------------------------------------------------

    def _note_quiet(self) -> None:
        if not self._caller_speaks:
            self._watch.quiet()
            self._arm()

    def _waits(self) -> bool:
        due = self._greeting or self._answer or self._owes_answer or self._tools.at_work or self._watch.expects
        return bool(due) and not self._caller_speaks

    def _due_s(self) -> float:
        return self._watch.due_s()

    def _do_due(self) -> None:
        if self._watch.is_late:
            self.fail(SERVICE, f"nothing of an answer for {self._timeout_ms} ms")
        elif self._watch.was_quiet():
            for piece in self._no_input.next():
                if isinstance(piece, Say):
                    self._ask(protocol.verbatim(piece.text))
                elif isinstance(piece, Fallback):
                    self._action = piece
                    self._finish_if_over()
        self._arm()

    def digit_received(self, digit: str) -> None:
        if self.call.state is State.ACTIVE:
            self.journal.tell("dtmf", digit=digit)
            self._no_input.answered()
            self._watch.somebody_speaks()
            self.interrupt()
            key = None if self._digits.waiting else self._keys.get(digit)
            if key is None:
                self._digits.press(digit)
                return
            self._watch.caller_speaks()  # no answer is waited for any more
            self._action, self._leaving = key.action, True
            if words := fill(key.words, self.variables).strip():
                self.say(words, interruptible=False)
            else:
                self._finish_if_over()

    def _pressed(self, digits: str, said: str) -> None:
        if self.call.state is State.ACTIVE:
            self._link.send(protocol.told(f"[pressed the keys {' '.join(digits)}]"))
            self._ask()

    # bridge.line.call.CallObserver ----------------------------------------------------------------------------------

    def utterance_started(self, utterance: Utterance) -> None:
        self._watch.somebody_speaks()
        item = self._items.of(utterance)
        if item is None:
            return  # it is said by the engine
        self._spoken.started(item, self.audio_ms)

    def utterance_done(self, utterance: Utterance) -> None:
        if self._cutting or self.call.state is State.ENDED:
            return
        item = self._items.of(utterance)
        if item is not None:
            self._tell_if_over(item)
        elif (text := utterance.heard_text().strip()) and not utterance.interrupted:
            self.journal.agent(text, max(self.audio_ms - utterance.played_ms, 0), interrupted=False, trace={})
        asyncio.get_running_loop().call_soon(self._finish_if_over)

    def call_ended(self, call: Call) -> None:
        self._digits.cancel()
        super().call_ended(call)
