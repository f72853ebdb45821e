"""Random orders of events: nobody is left without an answer, and no agent stays paused for ever."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.turns.actions import Action, Answer, AskAgain, Commit, Discard, Pause, Prepare, PromptCaller, Resume
from bridge.turns.rules import Rules
from bridge.turns.turns import Turns
from bridge.turns.words import Backchannels

EVENTS = [
    "began",
    "began_firm",
    "playing",
    "playing_firm",
    "finished",
    "started",
    "stopped",
    "hushed",
    "resumed",
    "partial",
    "partial_more",
    "empty",
    "word",
    "noise",
    "digit",
    "wait",
    "wait_long",
]


class Line:
    """The playout and the brain as the turn sees them; checks each action as it comes."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.now_s = 0.0
        self.state = "idle"  # or thinking, speaking
        self.paused = False
        self.firm = False
        self.said: list[str] = []
        self.answered: list[str] = []
        self.held = ""
        """What the answer that was begun early answers."""

    def do(self, actions: list[Action], *, digit: bool = False) -> None:
        for action in actions:
            match action:
                case Pause():
                    assert self.state != "idle"
                    assert not self.paused
                    assert not self.firm
                    self.paused = True
                case Resume():
                    assert self.paused
                    assert self.state != "idle", "nothing may be heard after a commit"
                    self.paused = False
                case Commit():
                    assert self.state != "idle"
                    assert digit or not self.firm
                    self.state, self.paused = "idle", False
                case Prepare(text):
                    assert text
                    assert self.state == "idle"
                    assert not self.held, "one at a time"
                    self.held = text
                case Discard():
                    assert self.held
                    self.held = ""
                case Answer(text, prepared):
                    assert text
                    assert self.held == (text if prepared else "")
                    self.held = ""
                    assert self.state == "idle"
                    self.answered += text.split()
                    self.state, self.firm = "thinking", False
                    self.do(self.turns.began(self.now_s))
                case PromptCaller() | AskAgain():
                    assert self.state == "idle"

    def event(self, name: str, index: int) -> None:
        turns, now_s = self.turns, self.now_s
        match name:
            case "began" | "began_firm" if self.state == "idle":
                self.state, self.firm, self.held = "thinking", name == "began_firm", ""
                self.do(turns.began(now_s, interruptible=not self.firm))
            case "playing" | "playing_firm" if self.state != "idle" and not self.paused:
                self.state, self.firm = "speaking", name == "playing_firm"
                self.do(turns.playing(now_s, interruptible=not self.firm, protect_ms=200 * (index % 2)))
            case "finished" if self.state != "idle" and not self.paused:
                self.state = "idle"
                self.do(turns.finished(now_s))
            case "started":
                self.do(turns.speech_started(now_s))
            case "stopped":
                self.do(turns.speech_stopped(now_s))
            case "hushed":
                self.do(turns.speech_paused())
            case "resumed":
                turns.speech_resumed()
            case "partial":
                self.do(turns.partial(now_s, "something being said"))
            case "partial_more":
                self.do(turns.partial(now_s, "something being said and more"))
            case "empty":
                self.do(turns.transcript(now_s, ""))
            case "noise":
                self.do(turns.transcript(now_s, "mm"))
            case "word":
                self.said.append(f"word{index}")
                self.do(turns.transcript(now_s, f"word{index}"))
            case "digit":
                unanswered = set(self.said) - set(self.answered)
                self.said = [word for word in self.said if word not in unanswered]
                self.do(turns.digit(now_s), digit=True)
            case "wait" | "wait_long":
                self.advance(0.05 if name == "wait" else 30.0)

    def advance(self, by_s: float) -> None:
        until_s = self.now_s + by_s
        for _ in range(50):
            due_s = self.turns.deadline_s()
            if due_s > until_s:
                break
            self.now_s = max(self.now_s, due_s)
            self.do(self.turns.expire(self.now_s))
        else:
            raise AssertionError("a deadline that passed is still due")
        self.now_s = until_s


@settings(max_examples=400, deadline=None)
@given(
    events=st.lists(st.sampled_from(EVENTS), max_size=60),
    min_words=st.sampled_from([0, 1]),
    echo_guard_ms=st.sampled_from([0, 100]),
    noises=st.booleans(),
    early=st.booleans(),
)
def test_random_orders(events: list[str], min_words: int, echo_guard_ms: int, noises: bool, early: bool) -> None:
    rules = Rules(
        min_interrupt_words=min_words,
        echo_guard_ms=echo_guard_ms,
        backchannels=Backchannels(["mm"] if noises else []),
        no_input_timeout_ms=7000,
        unclear_timeout_ms=1500,
        early_answers=early,
    )
    line = Line(Turns(rules))
    for index, name in enumerate(events):
        line.event(name, index)
        line.advance(0.01)
        assert line.paused == line.turns.paused
        assert line.state == line.turns.agent.value
        if line.paused:
            assert line.turns.deadline_s() < math.inf, "a paused agent must not stay paused for ever"
    # Let everything end: whatever the caller said is answered, once.
    for _ in range(len(events) + 2):
        line.event("finished", 0)
        line.advance(60.0)
    words_said = [word for word in line.said if word.startswith("word")]
    words_answered = [word for word in line.answered if word.startswith("word")]
    assert sorted(words_answered) == sorted(words_said)
