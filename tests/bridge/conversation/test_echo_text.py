"""What a recogniser hears, beside what the agent was saying at the time."""

from __future__ import annotations

from bridge.conversation.echo_text import EchoText
from bridge.hearing.events import Heard, Partial, SpeechStarted, SpeechStopped, Transcript
from bridge.line.utterance import Utterance

WORD_SAMPLES = 2_400


class Line:
    """A line on which the agent says a word every 300 ms."""

    def __init__(self, text: str) -> None:
        self.now_s = 100.0
        self.echo_text = EchoText(lambda: self.now_s)
        self.utterance = Utterance()
        self.utterance.open(8_000)
        for word in text.split():
            self.utterance.write(bytes(2 * WORD_SAMPLES), f"{word} ")
        self.utterance.end()
        self.echo_text.utterance_started(self.utterance)

    def play(self, ms: int) -> None:
        for _ in range(ms // 20):
            self.now_s += 0.02
            frame = self.utterance.take(160)
            self.utterance.done = not self.utterance.available_samples
            self.echo_text.frame_sent(frame, 8_000)

    def hear(self, event: Heard) -> Heard | None:
        return self.echo_text.without_echo(event)


GREETING = "Good morning this is the museum would you like to come on Monday or on Tuesday"


def test_an_echo_neither_interrupts_nor_is_answered() -> None:
    line = Line(GREETING)
    line.play(1_200)
    started = SpeechStarted(900)
    assert line.hear(started) is started
    line.play(900)
    assert line.hear(Partial("morning this is")) is None
    assert line.hear(SpeechStopped(2_000)) == SpeechStopped(2_000)
    assert line.hear(Transcript("Morning, this is the museum.", 900)) == Transcript("", 900)


def test_an_echo_of_which_no_beginning_was_told() -> None:
    line = Line(GREETING)
    line.play(1_800)
    assert line.hear(Transcript("this is the museum")) == Transcript("")


def test_the_caller_is_heard_while_the_agent_speaks() -> None:
    line = Line(GREETING)
    line.play(1_200)
    line.hear(SpeechStarted(1_100))
    line.play(400)
    said = Transcript("Can I bring my dog?")
    assert line.hear(Partial("Can I")) == Partial("Can I")
    assert line.hear(said) is said


def test_an_answer_in_the_agents_own_words_is_understood() -> None:
    line = Line(GREETING)
    line.play(4_800)  # to its end
    line.play(300)
    line.hear(SpeechStarted(5_000))
    line.play(600)
    said = Transcript("Come on Monday.")
    assert line.hear(said) is said


def test_what_was_said_long_ago_has_no_echo() -> None:
    line = Line(GREETING)
    line.play(8_000)
    said = Transcript("this is the museum")
    line.hear(SpeechStarted(8_000))
    assert line.hear(said) is said
