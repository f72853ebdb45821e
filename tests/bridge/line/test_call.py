"""One call, ticked by hand: order, interruption, hang-up, broken engines, and what is left running."""

import asyncio
from uuid import uuid4

import numpy as np
import pytest

from bridge.line import call as call_module
from bridge.line.apology import Apology
from bridge.line.audiosocket import Kind
from bridge.line.call import AHEAD_MS, MAX_DIGITS, Call, CallObserver, State
from engine import language, normalize, pipeline
from engine.speech import Style, UnknownVoice
from tests.support.fakes import LEVEL, FakeEngine

FRAME_S = 0.02


class Wire:
    """Takes the frames that the call sends."""

    def __init__(self):
        self.frames = []
        self.hung_up = False
        self.held_ms = 0

    def send(self, pcm, rate_hz):
        self.frames.append(pcm)

    def take_back(self):
        taken, self.held_ms = self.held_ms, 0
        return taken

    def hang_up(self):
        self.hung_up = True


class Told(CallObserver):
    """Keeps what a call tells its observers."""

    def __init__(self, call):
        self.heard, self.sentences, self.done, self.reasons = [], [], [], []
        call.observe(self)

    def audio_received(self, pcm, rate_hz):
        self.heard.append((pcm, rate_hz))

    def sentence_begun(self, utterance):
        self.sentences.append(utterance)

    def utterance_done(self, utterance):
        self.done.append(utterance)

    def call_ended(self, call):
        self.reasons.append(call.end_reason)


class Rig:
    """A call, its wire, and a clock that moves only when told to."""

    def __init__(self, **kwargs):
        self.engine, self.wire, self.now_s = FakeEngine(), Wire(), 0.0
        self.call = Call(uuid4(), self.wire, self.engine, Style(), now_s=lambda: self.now_s, **kwargs)
        self.call.audio_received(Kind.SLIN8, bytes(320))

    async def settle(self):
        """Runs everything that can run without the clock."""
        for _ in range(300):
            await asyncio.sleep(0)

    def tick(self, ticks=1):
        """Returns how many of the ticks had sound."""
        before = len(self.wire.frames)
        for _ in range(ticks):
            self.now_s += FRAME_S
            self.call.tick(self.now_s)
        return sum(any(frame) for frame in self.wire.frames[before:])

    async def tick_until_quiet(self):
        voiced = 0
        while not self.call.playout.idle:
            voiced += self.tick()
            await self.settle()
        return voiced


@pytest.fixture(autouse=True, scope="module")
def loaded():
    """Loads what a process loads with its first text, in a thread that `settle` does not wait for."""
    language.load()
    normalize.load("en")


@pytest.fixture
async def rig():
    rig = Rig()
    yield rig
    rig.call.end("test over")
    await rig.settle()
    assert rig.engine.streams == 0
    assert not rig.call._tasks


async def test_lines_are_spoken_in_order_and_whole(rig):
    lines = [rig.call.say("First line."), rig.call.say("Second.")]
    told = Told(rig.call)
    await rig.settle()
    voiced = await rig.tick_until_quiet()
    assert told.done == lines
    assert voiced == 90 + 0 * len("First line.Second."), "1.8 s at 50 frames a second"
    assert [line.heard_text().strip() for line in lines] == ["First line.", "Second."]


async def test_all_sentences_of_a_call_are_for_one_listener(rig, monkeypatch):
    styles, stream = [], rig.engine.stream
    monkeypatch.setattr(rig.engine, "stream", lambda sentence, style: styles.append(style) or stream(sentence, style))
    rig.call.say("One. Two.")
    await rig.settle()
    rig.call.style = Style(voice="two")
    rig.call.say("Three.")
    await rig.settle()
    assert [style.listener for style in styles] == [str(rig.call.id)] * 3


async def test_a_pause_is_silence_of_the_call_that_an_interrupt_cuts_like_speech(rig):
    rig.call.say("First line. [pause:2s] Second.")
    await rig.settle()
    rig.tick(50)
    await rig.settle()
    rig.tick(50)
    interruption = rig.call.interrupt()
    assert interruption.text.strip() == "First line."
    await rig.settle()
    rig.tick(200)
    assert not any(map(any, rig.wire.frames[100:])), "nothing follows"
    assert rig.engine.streams == 0


async def test_the_sentences_of_a_text_end_as_they_do_in_the_language_of_the_texts_before_it(rig):
    rig.call.style = Style()
    rig.call._normalize = False  # which would write the abbreviation out, in a thread
    rig.call.say("Guten Tag, wie kann ich Ihnen heute helfen?")
    await rig.settle()
    await rig.tick_until_quiet()
    assert rig.call.language == "de"
    rig.call.say("Herr Müller bzw. Frau Meier.")
    await rig.settle()
    assert [sentence for sentence, _ in rig.engine.spoken][1:] == ["Herr Müller bzw. Frau Meier."]


async def test_no_sample_is_lost_in_resampling(rig):
    rig.call.say("Hello there.")
    await rig.settle()
    await rig.tick_until_quiet()
    samples = np.frombuffer(b"".join(frame for frame in rig.wire.frames), np.int16)
    assert abs(np.abs(samples.astype(float)).sum() / LEVEL - len("Hello there.") * 800) < 20


async def test_an_interrupt_is_heard_within_the_tick_and_cancels_the_work(rig):
    rig.call.say("A long sentence to be cut with more to come. And more of it. And more.")
    rig.call.say("Never heard.")
    await rig.settle()
    rig.tick(50)
    rig.now_s += 0.001
    interruption = rig.call.interrupt()
    assert interruption.interrupted
    assert interruption.text == "A long "
    assert interruption.audio_end_ms == 1000
    assert rig.tick(200) == 0
    await rig.settle()
    assert rig.engine.streams == 0
    assert rig.tick(200) == 0
    assert "Never heard." not in [sentence for sentence, _ in rig.engine.spoken]
    assert not rig.call.interrupt().interrupted


async def test_the_next_line_after_an_interrupt_is_heard(rig):
    rig.call.say("Old line that goes on for a while.")
    await rig.settle()
    rig.tick(10)
    rig.call.interrupt()
    rig.call.say("New.")
    await rig.settle()
    assert await rig.tick_until_quiet() in (20, 21), "400 ms of the new line, and a fade of the old one at most"


async def test_speech_is_made_only_a_little_ahead_of_the_caller(rig):
    utterance = rig.call.say("x" * 600)
    await rig.settle()
    assert AHEAD_MS <= utterance.buffered_ms <= AHEAD_MS + 200
    rig.tick(100)
    await rig.settle()
    assert utterance.buffered_ms >= AHEAD_MS
    rig.call.interrupt()


async def test_a_pause_keeps_the_place(rig):
    rig.call.say("One two three four.")
    await rig.settle()
    before = rig.tick(20)
    rig.now_s += 0.001
    assert rig.call.pause()
    assert rig.tick(50) == 0
    rig.call.resume()
    assert before + await rig.tick_until_quiet() == 95


async def test_what_was_sent_and_not_played_is_not_heard_and_is_played_after_a_pause(rig):
    """Over a WebSocket Asterisk holds a frame or two, which it drops at a barge-in."""
    utterance = rig.call.say("A line that is long enough to be paused.")
    await rig.settle()
    rig.tick(20)
    at_ms = utterance.played_ms
    rig.wire.held_ms = 60
    assert rig.call.pause()
    assert utterance.played_ms == at_ms - 60
    rig.call.resume()
    rig.tick(5)
    rig.wire.held_ms = 40
    assert rig.call.interrupt().audio_end_ms == at_ms - 60 + 100 - 40


async def test_nothing_is_taken_back_while_nothing_is_said(rig):
    rig.wire.held_ms = 60
    assert not rig.call.pause()
    assert not rig.call.interrupt().interrupted
    assert rig.wire.held_ms == 60


async def test_text_that_arrives_in_pieces_is_spoken_as_its_sentences_complete(rig):
    pieces = asyncio.Queue()

    async def text():
        while (piece := await pieces.get()) is not None:
            yield piece

    told = Told(rig.call)
    utterance = rig.call.say(text())
    pieces.put_nowait("One sen")
    await rig.settle()
    assert told.sentences == []
    pieces.put_nowait("tence. Ano")
    await rig.settle()
    assert told.sentences == [utterance]
    assert rig.tick() == 1
    for piece in ("ther one.", None):
        pieces.put_nowait(piece)
    await rig.tick_until_quiet()
    assert utterance.heard_text() == "One sentence. Another one."


async def test_a_word_that_was_heard_counts_however_long_the_pause_behind_it(rig):
    line = rig.call.say("Is it so?\nIt is.")
    await rig.settle()
    rig.tick(48)  # 900 ms of speech, and 60 of the 300 ms of the pause
    rig.call.interrupt()
    assert line.heard_text() == "Is it so?\n"


@pytest.mark.parametrize("engine_rates_hz", [(), (8_000,)])
async def test_what_was_heard_is_the_same_whoever_brings_the_sound_to_the_line_s_rate(rig, engine_rates_hz):
    rig.engine.other_rates_hz = engine_rates_hz
    line = rig.call.say("Is it so?\nIt is.")
    await rig.settle()
    rig.tick(70)  # 900 ms of speech, 300 of the pause, and 200 of the second sentence's 600
    rig.call.interrupt()
    assert line.heard_text().strip() == "Is it so?\nIt"
    assert {len(frame) for frame in rig.wire.frames} == {320}


async def test_hanging_up_says_what_is_to_be_said_first(rig):
    rig.call.say("Goodbye.")
    rig.call.hang_up()
    rig.call.hang_up()
    assert rig.call.say("Too late.").done
    await rig.settle()
    assert rig.tick(39) == 39
    assert not rig.wire.hung_up
    rig.tick(2)
    assert rig.wire.hung_up


async def test_a_busy_engine_is_asked_again_and_nothing_is_lost_or_said_twice(rig, monkeypatch):
    monkeypatch.setattr(pipeline, "BUSY_RETRY_S", 0)
    rig.engine.busy = 2
    line = rig.call.say("First line. Second.")
    await rig.settle()
    await rig.tick_until_quiet()
    assert line.heard_text().strip() == "First line. Second."
    assert rig.call.state is State.ACTIVE
    assert rig.engine.busy == 0


async def test_an_engine_that_stays_busy_is_apologised_for(monkeypatch):
    monkeypatch.setattr(call_module, "BUSY_WAIT_S", 0)
    rig = Rig(apology=Apology(np.full(24_000, LEVEL, np.int16), 24_000))
    rig.engine.busy = 1
    rig.call.say("Hello.")
    await rig.settle()
    assert rig.call.state is State.ENDING
    rig.call.end("test over")
    await rig.settle()


@pytest.mark.parametrize("goodbye", [False, True])
async def test_a_broken_engine_is_apologised_for_and_the_call_given_back(goodbye):
    rig = Rig(apology=Apology(np.full(24_000, LEVEL, np.int16), 24_000))
    rig.engine.broken = True
    rig.call.say("This will not be said.")
    if goodbye:
        rig.call.hang_up()
    await rig.settle()
    assert await rig.tick_until_quiet() == 50
    rig.tick()
    assert rig.wire.hung_up
    rig.call.end("test over")


async def test_an_engine_that_fails_as_nobody_expected_is_apologised_for_too():
    """What it raises may be no SpeechError: a machine may be short of memory."""
    rig = Rig(apology=Apology(np.full(24_000, LEVEL, np.int16), 24_000))

    async def stream(sentence, style):
        yield np.full(2_400, LEVEL, np.int16)
        raise MemoryError

    rig.engine.stream = stream
    rig.call.say("This will be begun.")
    await rig.settle()
    assert rig.call.state is State.ENDING
    await rig.tick_until_quiet()
    rig.tick()
    assert rig.wire.hung_up
    rig.call.end("test over")


async def test_the_end_of_a_call_ends_its_work_at_once(rig):
    told = Told(rig.call)
    rig.engine.gate.clear()
    rig.call.say("Still being made.")
    await rig.settle()
    assert rig.engine.streams == 1
    rig.call.end("caller hung up")
    rig.call.end("again")
    await rig.settle()
    assert rig.engine.streams == 0
    assert told.reasons == ["caller hung up"]
    assert rig.call.state is State.ENDED


async def test_a_calls_own_task_ends_with_it(rig):
    task = rig.call.spawn(asyncio.Event().wait())
    rig.call.end("caller hung up")
    await rig.settle()
    assert task.cancelled()


async def test_an_unknown_voice_is_refused_before_anything_is_queued(rig):
    with pytest.raises(UnknownVoice, match="one, two"):
        rig.call.say("Hello.", voice="three")
    assert rig.call.playout.idle


async def test_the_voice_of_a_line_is_its_own(rig):
    rig.call.say("Two.", voice="two")
    rig.call.say("One.")
    await rig.settle()
    await rig.tick_until_quiet()
    assert [voice for _, voice in rig.engine.spoken] == ["two", ""]


async def test_who_listens_gets_whole_samples(rig):
    told = Told(rig.call)
    rig.call.audio_received(Kind.SLIN8, b"abc")
    rig.call.audio_received(Kind.SLIN16, b"a")
    rig.call.audio_received(Kind.SLIN16, b"abcd")
    assert told.heard == [(b"ab", 8_000), (b"", 16_000), (b"abcd", 16_000)]


async def test_of_digits_without_end_the_latest_are_kept(rig):
    for number in range(MAX_DIGITS + 7):
        rig.call.dtmf_received(str(number % 10))
    assert len(rig.call.dtmf) == MAX_DIGITS
    assert rig.call.dtmf.endswith("0123456")
