"""A conversation, ticked by hand: greeting, answers, barge-in in every state, history, endings and failures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from uuid import uuid4

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from bridge.brains.brain import Brain, BrainError, BreakOff, EndText, Fallback, HangUp, Piece, Say, Transfer
from bridge.brains.destinations import NotAllowed
from bridge.conversation.conversation import Conversation
from bridge.conversation.metrics import ConversationMetrics
from bridge.conversation.settings import ConversationSettings
from bridge.hearing.events import Partial, SpeechStarted, SpeechStopped, Transcript
from bridge.line.apology import Apology
from bridge.line.call import Call, State
from engine.speech import Style
from engine.text import SentenceSplitter
from tests.support.fakes import FakeEngine
from tests.support.lone_agent import lone_agent

FRAME_S = 0.02
END = None


class PuppetBrain(Brain):
    """A brain that says what the test puts into `pieces`; END ends a turn."""

    def __init__(self, greeting: str = "") -> None:
        self.greeting = greeting
        self.pieces: asyncio.Queue[Piece | Exception | None] = asyncio.Queue()
        self.said: list[str] = []
        self.heard_texts: list[tuple[str, bool]] = []
        self.open = 0
        self.confirmed = self.taken_back = 0

    def prepare(self, said: str) -> AsyncGenerator[Piece]:
        return self.answer(said)

    def confirm(self) -> None:
        self.confirmed += 1

    def take_back(self) -> None:
        self.taken_back += 1

    async def greet(self) -> AsyncGenerator[Piece]:
        if self.greeting:
            yield Say(self.greeting)

    async def answer(self, said: str) -> AsyncGenerator[Piece]:
        self.said.append(said)
        self.open += 1
        try:
            while (piece := await self.pieces.get()) is not END:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.open -= 1

    def pressed(self, digits: str, said: str = "") -> AsyncGenerator[Piece]:
        return self.answer(f"{said} keys {digits}".strip())

    def silence(self) -> AsyncGenerator[Piece]:
        return self.answer("silence")

    def misheard(self) -> AsyncGenerator[Piece]:
        return self.answer("misheard")

    def heard(self, text: str, *, interrupted: bool) -> None:
        self.heard_texts.append((text, interrupted))

    def put(self, *pieces: Piece | Exception | None) -> None:
        for piece in pieces:
            self.pieces.put_nowait(piece)


class Rig:
    """A call in conversation, and a clock that moves only when told to."""

    def __init__(
        self,
        greeting: str = "",
        apology: Apology | None = None,
        variables: Mapping[str, str] | None = None,
        **settings: object,
    ) -> None:
        self.now_s = 100.0
        self.frames: list[bytes] = []
        self.hung_up = False
        self.engine = FakeEngine()
        self.brain = PuppetBrain(greeting)
        self.events: list[dict[str, object]] = []
        style = Style(language="en")  # the language is given and plain, so no thread has to find it out
        self.call = Call(uuid4(), self, self.engine, style, normalize=False, apology=apology, now_s=lambda: self.now_s)
        self.call.audio_received(0x10, bytes(320))
        chosen = ConversationSettings.model_validate({"filler_after_ms": 0, **settings})
        self.talk = Conversation(
            self.call,
            lone_agent(self.call, self.brain, chosen, "sales=ext-queues,400,1"),
            ConversationMetrics(CollectorRegistry()),
            variables=variables,
            now_s=lambda: self.now_s,
        )
        self.talk.journal.observers.append(self.events.append)

    def send(self, pcm: bytes, rate_hz: int) -> None:
        self.frames.append(pcm)

    def take_back(self) -> int:
        return 0

    def hang_up(self) -> None:
        self.hung_up = True

    async def settle(self, rounds: int = 300) -> None:
        """Lets everything run that can without the clock."""
        for _ in range(rounds):
            await asyncio.sleep(0)

    async def tick(self, ticks: int = 1) -> int:
        """Ticks the call; returns how many of the ticks had sound."""
        before = len(self.frames)
        for _ in range(ticks):
            self.now_s += FRAME_S
            self.call.tick(self.now_s)
            while self.talk._deadline_s() <= self.now_s:
                self.talk._expire()
            await self.settle(30)
        await self.settle()
        return sum(any(frame) for frame in self.frames[before:])

    async def tick_ms(self, ms: int) -> int:
        return await self.tick(ms // 20)

    async def say(self, said: str, *pieces: Piece | Exception | None) -> None:
        """Has the caller say something, and the brain answer."""
        self.brain.put(*pieces)
        self.talk.heard(Transcript(said))
        await self.settle()

    def kinds(self) -> list[object]:
        return [event["type"] for event in self.events]


@pytest.fixture
async def rigs() -> AsyncIterator[list[Rig]]:
    """Collects the calls that a test makes, ends them, and asserts that nothing of them is left."""
    rigs: list[Rig] = []
    yield rigs
    for rig in rigs:
        rig.call.end("test over")
        await rig.settle()
        assert rig.engine.streams == 0
        assert rig.brain.open == 0
        assert not rig.call._tasks


async def conversation(rigs: list[Rig], greeting: str = "", apology: Apology | None = None, **settings: object) -> Rig:
    rig = Rig(greeting, apology, **settings)
    rigs.append(rig)
    rig.talk.start()
    await rig.settle()
    rig.brain.heard_texts.clear()
    return rig


async def test_it_greets_and_answers_and_remembers_what_was_heard(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, "Hello.")
    assert await rig.tick_ms(2000) == 30  # six letters of 100 ms
    assert rig.brain.heard_texts == [("Hello.", False)]
    await rig.say("a table", "For how ", "many?", END)
    assert await rig.tick_ms(3000) == 65
    assert rig.brain.said == ["a table"]
    assert rig.brain.heard_texts[-1] == ("For how many?", False)
    assert [(entry.who, entry.text) for entry in rig.talk.journal.entries] == [
        ("agent", "Hello."),
        ("user", "a table"),
        ("agent", "For how many?"),
    ]
    assert rig.kinds() == [
        "call.started",
        *("response.started", "transcript.agent", "response.done"),
        "transcript.user",
        *("response.started", "transcript.agent", "response.done"),
    ]


async def test_words_before_a_tool_are_heard_while_it_is_at_work(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("a table", "I see.", EndText())
    assert await rig.tick_ms(1000) == 30
    rig.brain.put("Done.", END)
    await rig.settle()
    assert await rig.tick_ms(1000) == 25
    assert rig.brain.heard_texts == [("I see. Done.", False)]


async def test_words_cut_within_a_tick_and_nothing_stale_follows(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "One two three four five.", END)
    await rig.tick_ms(1000)
    rig.now_s += 0.015
    rig.talk.heard(SpeechStarted())
    assert await rig.tick(1) == 1  # the fade
    assert await rig.tick(50) == 0
    assert rig.talk.heard(Partial("stop")).interrupted
    assert await rig.tick(100) == 0
    assert rig.brain.heard_texts[-1] == ("One two", True)
    await rig.say("stop it", "Yes.", END)
    assert rig.brain.said == ["hello", "stop it"]
    assert await rig.tick(100) == 20
    assert rig.brain.heard_texts[-1] == ("Yes.", False)
    assert len(rig.talk._silence.silences_ms) == 1
    assert rig.talk._silence.silences_ms[0] <= 20


async def test_a_cough_goes_on_from_the_very_sample(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "One two three.", END)
    voiced = await rig.tick_ms(500)
    rig.talk.heard(SpeechStarted())
    rig.talk.heard(SpeechStopped())
    assert await rig.tick_ms(900) == 0
    voiced += await rig.tick_ms(3000)
    assert voiced == 14 * 5
    assert rig.brain.heard_texts == [("One two three.", False)]
    assert "response.paused" in rig.kinds()
    assert "response.resumed" in rig.kinds()


async def test_what_was_paused_can_go_on_from_a_little_before(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, resume_rewind_ms=200)
    await rig.say("hello", "One two three.", END)
    voiced = await rig.tick_ms(600)
    rig.talk.heard(SpeechStarted())
    rig.talk.heard(SpeechStopped())
    voiced += await rig.tick_ms(400)
    rig.talk.heard(Transcript(""))
    assert voiced + await rig.tick_ms(2000) == 14 * 5 + 200 // 20, "all of it, and 200 ms of it again"
    assert rig.brain.heard_texts == [("One two three.", False)]


async def test_a_sound_while_thinking_holds_the_answer_back(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("I would like")
    rig.talk.heard(SpeechStarted())
    rig.brain.put("Here you are.", END)
    assert await rig.tick_ms(800) == 0
    await rig.say("a table", "A table.", END)
    assert await rig.tick_ms(2000) == 40
    assert rig.brain.said == ["I would like", "a table"]
    assert rig.brain.heard_texts == [("", True), ("A table.", False)]


async def test_an_answer_that_was_held_before_its_first_sound_is_not_told_to_go_on(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    lines: list[str] = []
    rig.talk.journal.followers.append(lines.append)
    await rig.say("hello")
    rig.talk.heard(SpeechStarted())
    rig.talk.heard(SpeechStopped())
    await rig.tick_ms(200)
    rig.talk.heard(Transcript(""))  # the sound was nothing
    await rig.tick_ms(200)
    assert not {"response.paused", "response.resumed"} & set(rig.kinds())
    assert json.loads(lines[-1]).get("floor") == "nobody", "the agent has said nothing yet"


async def test_a_turn_that_was_held_and_has_nothing_to_say_does_not_hold_the_next(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello")
    rig.talk.heard(SpeechStarted())
    rig.brain.put(END)
    await rig.settle()
    rig.talk.heard(SpeechStopped())
    rig.talk.say("Hello.")
    await rig.settle()
    assert await rig.tick_ms(1000) == 30


async def test_a_sound_while_thinking_that_was_nothing_lets_it_go(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "Yes.", END)
    rig.talk.heard(SpeechStarted())
    rig.talk.heard(SpeechStopped())
    assert await rig.tick_ms(900) == 0
    assert await rig.tick_ms(1000) == 20


async def test_twice_in_a_row(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    for said in ("one", "two", "three"):
        await rig.say(said, "Ten letters.", END)
        assert await rig.tick_ms(300) > 0
    rig.talk.heard(Transcript("four"))
    assert await rig.tick_ms(500) == 0
    assert rig.brain.said == ["one", "two", "three", "four"]
    assert [interrupted for _, interrupted in rig.brain.heard_texts] == [True, True, True]


async def test_between_two_sentences(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "One. ")
    rig.brain.put("Two.")
    await rig.tick_ms(400)
    assert await rig.tick_ms(100) == 0, "this is the pause between them"
    rig.talk.heard(Transcript("stop"))
    assert await rig.tick_ms(2000) == 0
    assert rig.brain.heard_texts == [("One.", True)]


async def test_on_the_last_word(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "One two.", END)
    await rig.tick_ms(760)
    rig.talk.heard(Transcript("thanks"))
    assert rig.brain.heard_texts == [("One two.", True)]


async def test_keys_cut_what_may_not_be_interrupted(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", Say("One two three.", interruptible=False), END)
    await rig.tick_ms(400)
    assert not rig.talk.heard(Transcript("stop")).interrupted
    rig.brain.put(END, "Sales.", END)
    rig.call.dtmf_received("1")
    await rig.settle()
    assert rig.brain.said == ["hello", "keys 1"]
    assert await rig.tick_ms(100) <= 1


async def test_keys_and_words_at_once_get_one_answer(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    rig.talk._digits.gap_ms = 1_500  # as with a language model
    rig.talk.digit_received("1")
    await rig.say("one")
    rig.talk.digit_received("2")
    await rig.say("two, please", "Twelve it is.", END)
    assert rig.brain.said == []
    rig.talk._digits._done()
    await rig.settle()
    assert await rig.tick_ms(2000) == 13 * 5
    assert rig.brain.said == ["one two, please keys 12"]
    assert rig.brain.heard_texts == [("Twelve it is.", False)]
    await rig.say("thanks", "Bye.", END)
    assert rig.brain.said[1:] == ["thanks"], "words after the keys have an answer of their own again"


async def test_a_turn_begun_between_a_key_and_its_end_is_over_before_the_key_counts(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    known: list[list[tuple[str, bool]]] = []

    def pressed(digits: str, said: str) -> AsyncGenerator[Piece]:
        known.append(list(rig.brain.heard_texts))
        return rig.brain.answer(f"keys {digits}")

    rig.brain.pressed = pressed  # type: ignore[assignment]
    rig.talk._digits.gap_ms = 1_500  # as with a language model
    rig.talk.digit_received("1")
    rig.talk.say("One two three.")
    await rig.settle()
    await rig.tick_ms(500)
    rig.talk._digits._done()
    await rig.settle()
    assert known == [[("One", True)]], "the brain knows what was heard before it is told the key"
    assert rig.brain.said == ["keys 1"]


async def test_an_answer_that_breaks_off_is_spoken_up_to_its_last_whole_sentence(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("when", "We open. On Sund", BreakOff(), END)
    assert await rig.tick_ms(3000) == 8 * 5
    assert rig.brain.heard_texts == [("We open.", False)]
    assert not rig.hung_up


async def test_a_sentence_that_broke_off_is_not_spoken_before_the_one_that_came_in_its_place(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("when", "We op", BreakOff(), "At nine.", END)
    assert await rig.tick_ms(3000) == 8 * 5
    assert rig.brain.heard_texts == [("At nine.", False)]


async def test_what_is_said_over_the_uninterruptible_is_answered_after_it(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", Say("One two three.", interruptible=False), END)
    await rig.tick_ms(400)
    rig.talk.heard(Transcript("sales please"))
    assert await rig.tick_ms(2000) == 50
    assert rig.brain.said == ["hello", "sales please"]


async def test_a_protected_greeting(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, "Good morning to you.", greeting_protection_ms=1000)
    await rig.tick_ms(200)
    rig.talk.heard(SpeechStarted())
    rig.talk.heard(SpeechStopped())
    assert await rig.tick_ms(1000) == 50
    rig.talk.heard(SpeechStarted())
    assert await rig.tick_ms(500) <= 1


@pytest.mark.parametrize(
    ("action", "destination"),
    [
        (Transfer("Sales"), "ext-queues,400,1"),
        (HangUp(), "hangup"),
        (Fallback(), "from-internal,100,1"),
        (Transfer("macro-evil,s,1"), "from-internal,100,1"),
    ],
)
async def test_the_end_comes_after_the_last_word(rigs: list[Rig], action: Piece, destination: str) -> None:
    rig = await conversation(rigs, fallback_destination="from-internal,100,1")
    await rig.say("sales", "Right away.", action, END)
    assert await rig.tick_ms(1000) == 50
    assert not rig.hung_up
    assert await rig.tick_ms(400) == 5
    assert rig.hung_up
    assert str(rig.talk.next) == destination


async def test_an_interrupted_goodbye_does_not_end_the_call(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("bye", "Goodbye then.", HangUp(), END)
    await rig.tick_ms(400)
    await rig.say("no wait", "Yes?", END)
    await rig.tick_ms(2000)
    assert not rig.hung_up
    assert rig.call.state is State.ACTIVE
    assert str(rig.talk.next) == ""


async def test_a_goodbye_that_is_being_drained_is_not_interrupted(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "Something long to say.", END)
    await rig.tick_ms(200)
    rig.talk.heard(SpeechStarted())
    rig.talk.hang_up("Goodbye.", "sales")
    await rig.settle()
    rig.talk.heard(Transcript("but I"))
    assert await rig.tick_ms(1000) >= 40
    assert rig.hung_up
    assert str(rig.talk.next) == "ext-queues,400,1"
    with pytest.raises(NotAllowed):
        rig.talk.hang_up("", "macro-evil,s,1")


async def test_an_answer_that_comes_too_late_does_not_cut_the_goodbye(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello")
    rig.talk.say("Goodbye now.")
    await rig.settle()
    voiced = await rig.tick_ms(200)
    rig.talk.hang_up()
    rig.brain.put("Too late.", END)
    assert voiced + await rig.tick_ms(2000) == 60
    assert rig.hung_up


async def test_where_a_call_goes_is_not_for_the_brain_once_it_was_told_from_outside(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("bye", "Goodbye then.", HangUp(), END)
    await rig.tick_ms(400)
    rig.talk.hang_up("", "sales")
    await rig.tick_ms(2000)
    assert rig.hung_up
    assert str(rig.talk.next) == "ext-queues,400,1"


async def test_an_announcement_is_part_of_the_conversation(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    rig.talk.say("Your taxi is here.")
    await rig.settle()
    await rig.tick_ms(900)
    assert rig.talk.heard(Transcript("thank you")).text == "Your taxi"
    await rig.settle()
    assert rig.brain.heard_texts == [("Your taxi", True)]
    assert rig.brain.said == ["thank you"]


async def test_an_interrupt_from_outside_stops_the_thinking_too(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello")
    assert not rig.talk.interrupt().interrupted
    rig.brain.put("Too late.", END)
    assert await rig.tick_ms(1000) == 0
    await rig.settle()
    assert rig.brain.open == 0


async def test_an_interrupt_tells_of_what_played_and_the_history_of_the_whole_turn(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    rig.talk.say("One two.")
    second = rig.talk.say("Three four five.")
    while second.played_ms < 1000:  # ten letters of 100 ms
        await rig.tick()
    rig.talk.heard(SpeechStarted())
    cut = rig.talk.interrupt()
    assert (cut.interrupted, cut.text, cut.audio_end_ms) == (True, "Three four", 1000)
    events = {event["type"]: event for event in rig.events}
    for kind in ("response.paused", "response.interrupted"):
        assert (events[kind]["text"], events[kind]["audio_end_ms"]) == ("Three four", 1000)
    assert rig.brain.heard_texts == [("One two. Three four", True)]
    assert [entry.text for entry in rig.talk.journal.entries] == ["One two. Three four"]


async def test_a_cut_that_went_past_us_is_noticed(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    await rig.say("hello", "One two three. Four")
    await rig.tick_ms(500)
    rig.call.interrupt()
    rig.brain.put(" five.", END)
    assert await rig.tick_ms(1000) == 0
    assert rig.brain.heard_texts == [("One", True)]


async def test_a_slow_answer_gets_one_filler_and_both_are_remembered(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, filler="Um.", filler_after_ms=1)
    await rig.say("hello")
    await asyncio.sleep(0.01)
    await rig.settle()
    assert await rig.tick_ms(500) == 15
    rig.brain.put("Yes.", END)
    await rig.settle()
    assert await rig.tick_ms(500) == 20
    assert rig.brain.heard_texts == [("Um. Yes.", False)]


@pytest.mark.parametrize(
    "text", ["Here is one more sentence. " * 4_000, "and so on " * 10_000, "\n" * 100_000 + "Here."]
)
async def test_an_answer_that_comes_all_at_once_is_split_piece_by_piece(
    rigs: list[Rig], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Splitting 100,000 characters takes a tenth of a second or more, and frames of other calls are due meanwhile."""
    rig = await conversation(rigs)
    turn, fed = 0, {0: 0}
    feed = SentenceSplitter.feed

    def next_turn() -> None:
        nonlocal turn
        turn += 1
        asyncio.get_running_loop().call_soon(next_turn)

    def count(self: SentenceSplitter, piece: str) -> list[str]:
        fed[turn] = fed.get(turn, 0) + len(piece)
        return feed(self, piece)

    monkeypatch.setattr(SentenceSplitter, "feed", count)
    asyncio.get_running_loop().call_soon(next_turn)
    rig.brain.put(text, END)
    rig.talk.heard(Transcript("hello"))
    while not rig.engine.spoken:
        await rig.settle()
    await rig.tick_ms(200)
    # The trace looks only for the first sentence, and the engine is given one slice in each turn of the loop.
    assert max(fed.values()) <= 1_000
    assert rig.engine.spoken[0][0] == text.strip()[: len(rig.engine.spoken[0][0])]


@pytest.mark.parametrize("error", [BrainError("no model"), ValueError("a fault of ours")])
async def test_a_brain_that_fails_apologizes_and_goes_to_the_fallback(rigs: list[Rig], error: Exception) -> None:
    apology = Apology(np.full(24_000, 5000, np.int16), 24_000)
    rig = await conversation(rigs, apology=apology, fallback_destination="from-internal,100,1")
    await rig.say("hello", error)
    assert await rig.tick_ms(2000) >= 49
    assert rig.hung_up
    assert rig.talk.failed == "llm"
    assert str(rig.talk.next) == "from-internal,100,1"


@pytest.mark.parametrize("pieces", [("👍",), ("...", "\n", "👍"), (Say("👍"),), ("   ",), (Say("👍"), Say("..."))])
async def test_an_answer_that_cannot_be_spoken_apologizes_too(rigs: list[Rig], pieces: tuple[Piece, ...]) -> None:
    apology = Apology(np.full(24_000, 5000, np.int16), 24_000)
    rig = await conversation(rigs, apology=apology, fallback_destination="from-internal,100,1")
    rig.engine.unspeakable = ("👍", "...", "...\n👍")
    await rig.say("hello", *pieces, END)
    assert await rig.tick_ms(2000) >= 49
    assert rig.hung_up
    assert rig.talk.failed == "llm"
    assert str(rig.talk.next) == "from-internal,100,1"
    assert rig.brain.heard_texts == [("", False)]


async def test_a_filler_before_an_answer_that_cannot_be_spoken_is_no_answer(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, filler="Um.", filler_after_ms=1)
    rig.engine.unspeakable = ("👍",)
    await rig.say("hello")
    while not rig.engine.spoken:
        await rig.settle()
    rig.brain.put("👍", END)
    await rig.tick_ms(1000)
    assert rig.hung_up
    assert rig.talk.failed == "llm"


@pytest.mark.parametrize("pieces", [(), (Say("👍"), Say("Yes."))])
async def test_a_turn_with_nothing_to_say_or_some_of_it_spoken_is_no_fault(
    rigs: list[Rig], pieces: tuple[Piece, ...]
) -> None:
    rig = await conversation(rigs)
    rig.engine.unspeakable = ("👍",)
    await rig.say("hello", *pieces, END)
    assert await rig.tick_ms(1000) == (20 if pieces else 0)
    assert rig.call.state is State.ACTIVE


async def test_what_follows_an_answer_that_cannot_be_spoken_is_done(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    rig.engine.unspeakable = ("👍",)
    await rig.say("sales", "👍", Transfer("Sales"), END)
    await rig.tick_ms(200)
    assert (rig.hung_up, rig.talk.failed) == (True, "")
    assert str(rig.talk.next) == "ext-queues,400,1"


async def test_silence_of_both_prompts(rigs: list[Rig]) -> None:
    rig = await conversation(rigs, no_input_timeout_ms=3000)
    await rig.tick_ms(4000)
    assert rig.brain.said == ["silence"]


async def test_the_trace_of_a_turn(rigs: list[Rig]) -> None:
    rig = await conversation(rigs)
    rig.talk.heard(SpeechStarted(0))
    await rig.tick_ms(1000)
    rig.talk.heard(SpeechStopped(600))
    await rig.tick_ms(200)
    await rig.say("hello")
    await rig.tick_ms(100)
    rig.brain.put("Yes. ")
    await rig.tick_ms(100)
    rig.brain.put("No.", END)
    await rig.tick_ms(3000)
    entry = rig.talk.journal.entries[-1]
    assert entry.trace == {
        "speech_end_ms": 0,
        "end_known_ms": 400,
        "transcript_ms": 600,
        "first_token_ms": 720,
        "first_sentence_ms": 820,
        "first_audio_ms": 820,
        "first_frame_ms": 840,
    }


async def test_random_cuts_leave_no_word_out_and_add_none(rigs: list[Rig]) -> None:
    """The history holds what was played, to the word, wherever the answer is cut."""
    random = np.random.default_rng(4)
    text = "One two three. Four five six. Seven eight nine."
    rig = await conversation(rigs)
    for cut_ms in random.integers(100, 5000, 50):
        await rig.say("hello", text, END)
        voiced = await rig.tick_ms(int(cut_ms) // 20 * 20)
        cut = rig.talk.interrupt()
        await rig.tick(5)
        heard, _ = rig.brain.heard_texts[-1]
        assert text.startswith(heard)
        assert cut.text == (heard if cut.interrupted else "")
        assert abs(len(heard) - voiced / 5) <= 6, "a word is at most five letters and a blank"
