import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine import language
from engine.pipeline import MAX_SENTENCE_S, speak
from engine.speech import Chunk, Pcm, SpeechError, Style, UnspeakableText
from engine.text import SENTENCE_PAUSE_MS
from tests.support.stepped_engine import LEVEL, RATE_HZ, SteppedEngine

THREE = "First one. Second one. Third one."
STYLE = Style(language="en")


class Source:
    """Pieces of text handed over one by one by the test; remembers whether it was closed."""

    def __init__(self, *pieces: str) -> None:
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()
        self.closed = False
        for piece in pieces:
            self.put(piece)

    def put(self, piece: str | None) -> None:
        self._pieces.put_nowait(piece)

    async def __aiter__(self) -> AsyncIterator[str]:
        try:
            while (piece := await self._pieces.get()) is not None:
                yield piece
        finally:
            self.closed = True


async def all_of(stream: AsyncGenerator[Chunk, None], chunks: list[Chunk] | None = None) -> list[Chunk]:
    """Every chunk; with `chunks`, also what came before an error."""
    chunks = [] if chunks is None else chunks
    async for chunk in stream:
        chunks.append(chunk)
    return chunks


def texts(chunks: list[Chunk]) -> list[str]:
    return [chunk.text for chunk in chunks if chunk.text]


def voiced(chunks: list[Chunk]) -> list[int]:
    """The sentence numbers in the samples of the chunks that are not silent."""
    return [int(chunk.pcm[0]) // LEVEL for chunk in chunks if chunk.pcm.any()]


async def settle() -> None:
    """Let everything that can go on without the test go on."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_chunks_come_in_order_with_their_text_as_written() -> None:
    text = "It costs $5.  Call Dr. Smith!\n\nBye"
    chunks = await all_of(speak(SteppedEngine(free=True), text, STYLE))
    assert texts(chunks) == ["It costs $5.  ", "Call Dr. Smith!\n\n", "Bye"]
    assert voiced(chunks) == [1, 1, 2, 2, 3, 3]


class TellingEngine(SteppedEngine):
    """Tells that its words begin 40 ms apart."""

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        if style.on_word_starts:
            style.on_word_starts([40 * index for index in range(len(sentence.split()))])
        async with aclosing(super().stream(sentence, style)) as chunks:
            async for pcm in chunks:
                yield pcm


async def test_by_word_a_chunk_begins_with_each_word_as_written() -> None:
    text = "It costs $5.  Call Dr. Smith!"
    chunks = await all_of(speak(TellingEngine(free=True), text, STYLE, by_word=True))
    assert texts(chunks) == ["It ", "costs ", "$5.  ", "Call ", "Dr. ", "Smith!"]
    assert [chunk.pcm.size for chunk in chunks if chunk.text] == [40, 40, 20, 40, 40, 20]
    assert texts(await all_of(speak(TellingEngine(free=True), text, STYLE))) == ["It costs $5.  ", "Call Dr. Smith!"]


async def test_by_word_an_engine_that_does_not_tell_gives_sentences() -> None:
    chunks = await all_of(speak(SteppedEngine(free=True), "It costs $5.  Call me!", STYLE, by_word=True))
    assert texts(chunks) == ["It costs $5.  ", "Call me!"]


async def test_the_engine_gets_it_written_out_unless_told_not_to() -> None:
    engine = SteppedEngine(free=True)
    await all_of(speak(engine, "It costs $5.", STYLE))
    await all_of(speak(engine, "It costs $5.", STYLE, normalize=False))
    assert engine.begun == ["It costs five dollars.", "It costs $5."]


async def test_a_pause_lies_between_sentences_and_nowhere_else() -> None:
    chunks = await all_of(speak(SteppedEngine(free=True), "One. Two.", STYLE))
    silent = [not chunk.pcm.any() for chunk in chunks]
    assert silent == [False, False, True, False, False]
    assert chunks[2].pcm.size == SENTENCE_PAUSE_MS * RATE_HZ // 1000
    assert chunks[2].text == ""


async def test_pauses_are_at_the_rate_that_the_style_asks_for() -> None:
    engine = SteppedEngine(free=True)
    engine.other_rates_hz = (RATE_HZ // 2,)
    for wanted_hz, rate_hz in ((RATE_HZ // 2, RATE_HZ // 2), (RATE_HZ // 4, RATE_HZ), (None, RATE_HZ)):
        style = replace(STYLE, sample_rate_hz=wanted_hz)
        chunks = await all_of(speak(engine, "One. [pause 250ms] Two. Three.", style))
        silent = sum(chunk.pcm.size for chunk in chunks if chunk.is_pause)
        assert silent == (250 + SENTENCE_PAUSE_MS) * rate_hz // 1000


async def test_first_chunk_leaves_before_the_rest_is_made() -> None:
    engine = SteppedEngine()
    async with aclosing(speak(engine, THREE, STYLE)) as stream:
        engine.allow(1)
        first = await anext(stream)
        assert first.text == "First one. "
        assert engine.begun == ["First one."]


async def test_the_next_sentence_is_made_while_one_is_sent_and_no_further() -> None:
    engine = SteppedEngine()
    async with aclosing(speak(engine, THREE, STYLE)) as stream:
        engine.allow(6)
        assert voiced([await anext(stream)]) == [1]
        await settle()
        assert engine.begun == ["First one.", "Second one."]  # the second is made, the third not begun
        assert voiced([await anext(stream)]) == [1]
        assert not (await anext(stream)).pcm.any()
        await settle()
        assert engine.begun[2:] == ["Third one."]  # begun once the first has been taken


async def test_the_first_sentence_of_a_stream_leaves_while_the_text_is_still_written() -> None:
    engine, source = SteppedEngine(free=True), Source("First", " one. Se")
    async with aclosing(speak(engine, source, STYLE)) as stream:
        assert (await anext(stream)).text == "First one. "
        source.put("cond one.")
        source.put(None)
        assert texts(await all_of(stream)) == ["Second one."]
    assert source.closed


async def test_the_opening_of_a_long_sentence_is_made_alone() -> None:
    engine = SteppedEngine(free=True)
    engine.first_sentence_chars = 30
    text = "If you would like to wait, please stay on the line, and we will be with you."
    chunks = await all_of(speak(engine, text, STYLE))
    assert texts(chunks)[0] == "If you would like to wait, "
    assert "".join(texts(chunks)) == text


async def test_each_sentence_says_when_it_is_needed() -> None:
    engine = SteppedEngine(free=True)
    began_s = asyncio.get_running_loop().time()
    await all_of(speak(engine, THREE, STYLE))
    first, second, third = (style.needed_at_s or 0.0 for style in engine.styles)
    assert began_s <= first
    assert second - first >= 0.2  # after the first has been played
    assert third - second == pytest.approx(0.2 + SENTENCE_PAUSE_MS / 1000)


async def test_leaving_at_any_stage_a_hundred_times_ends_everything() -> None:
    before = asyncio.all_tasks()
    for round_ in range(100):
        for stage in range(9):  # before the first chunk, in and between sentences, at the end
            engine, source = SteppedEngine(), Source("First one. ", "Second one. ", "Third one.")
            if round_ % 2:
                source.put(None)
            engine.allow(stage + round_ % 3)
            stream = speak(engine, source, STYLE)
            taken = [await anext(stream) for _ in range(min(stage, 1 + round_ % 4))]
            if stage > 6:
                await settle()
            await stream.aclose()
            assert engine.open == 0
            assert source.closed or not taken
    assert asyncio.all_tasks() == before


async def test_being_cancelled_ends_everything() -> None:
    engine, source = SteppedEngine(), Source("First one. Second one.")
    task = asyncio.create_task(all_of(speak(engine, source, STYLE)))
    await engine.until_begun(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.open == 0
    assert source.closed


async def test_the_next_is_served_after_one_left() -> None:
    engine = SteppedEngine()
    left = speak(engine, THREE, STYLE)
    engine.allow(1)
    await anext(left)
    await left.aclose()
    engine.allow(6)
    assert texts(await all_of(speak(engine, THREE, STYLE))) == ["First one. ", "Second one. ", "Third one."]


async def test_an_error_comes_after_all_that_was_made_before_it() -> None:
    engine = SteppedEngine(free=True)
    engine.failures["Second one."] = SpeechError("broken")
    chunks: list[Chunk] = []
    with pytest.raises(SpeechError, match="broken"):
        await all_of(speak(engine, THREE, STYLE), chunks)
    assert voiced(chunks) == [1, 1, 2, 2]
    assert engine.open == 0


async def test_an_error_in_the_source_comes_after_what_was_complete() -> None:
    async def broken() -> AsyncIterator[str]:
        yield "First one. Sec"
        raise ConnectionError("the model went away")

    chunks: list[Chunk] = []
    with pytest.raises(ConnectionError):
        await all_of(speak(SteppedEngine(free=True), broken(), STYLE), chunks)
    assert texts(chunks) == ["First one. "]


async def test_a_source_that_is_cancelled_is_an_error_and_no_hang() -> None:
    async def cancelled() -> AsyncIterator[str]:
        yield "First one. "
        raise asyncio.CancelledError

    with pytest.raises(SpeechError, match="source"):
        await all_of(speak(SteppedEngine(free=True), cancelled(), STYLE))


async def test_what_cannot_be_spoken_is_left_out(logged: list[Any]) -> None:
    engine = SteppedEngine(free=True)
    engine.failures["Second one."] = UnspeakableText("no sounds for it")
    chunks = await all_of(speak(engine, THREE, STYLE))
    assert texts(chunks) == ["First one. ", "Third one."]
    assert "no sounds for it" in str(logged)


async def test_nothing_that_can_be_spoken_is_an_error() -> None:
    engine = SteppedEngine(free=True)
    engine.failures["First one."] = UnspeakableText("no sounds for it")
    with pytest.raises(UnspeakableText, match="no sounds"):
        await all_of(speak(engine, "First one.", STYLE))
    with pytest.raises(UnspeakableText):
        await all_of(speak(engine, "😀", STYLE))


@pytest.mark.parametrize("text", ["", "  \n "])
async def test_an_empty_text_is_silence(text: str) -> None:
    assert await all_of(speak(SteppedEngine(free=True), text, STYLE)) == []


async def test_the_language_is_told_from_the_text_unless_given() -> None:
    engine = SteppedEngine(free=True)
    german = "Guten Tag, wie kann ich Ihnen heute helfen? Bitte warten Sie einen Moment."
    await all_of(speak(engine, german, Style()))
    await all_of(speak(engine, german, Style(language="nl")))
    assert [style.language for style in engine.styles] == ["de", "de", "nl", "nl"]
    assert language.is_loaded()


async def test_the_language_of_a_stream_is_told_as_soon_as_it_can_be() -> None:
    engine, source = SteppedEngine(free=True), Source("Ja! ", "Wir verbinden Sie jetzt mit einem Mitarbeiter. ", "Ok.")
    source.put(None)
    await all_of(speak(engine, source, Style()))
    assert [style.language for style in engine.styles] == [None, "de", "de"]


async def test_sentences_end_as_they_do_in_the_language_of_the_text() -> None:
    written = ["Wir verbinden Sie jetzt mit unserem Mitarbeiter. ", "Das ist Herr Müller bzw. Frau Meier. ", "Ok."]
    engine, source, told = SteppedEngine(free=True), Source(), []
    for word in "".join(written).split(" "):  # as a language model writes it
        source.put(f"{word} ")
    source.put(None)
    await all_of(speak(engine, source, Style(), normalize=False, on_language=told.append))
    assert engine.begun == [sentence.strip() for sentence in written]
    assert told == ["de"]


async def test_sentences_end_as_they_do_in_the_calls_language_while_the_text_does_not_tell_its_own() -> None:
    engine, source = SteppedEngine(free=True), Source("Herr Müller bzw. Frau Meier.")
    source.put(None)
    await all_of(speak(engine, source, Style(), normalize=False, language="de"))
    assert engine.begun == ["Herr Müller bzw. Frau Meier."]


async def test_an_engine_gets_no_word_that_is_too_long_for_it() -> None:
    engine = SteppedEngine(free=True)
    text = "a-" * 140
    chunks = await all_of(speak(engine, text, STYLE))
    assert "".join(texts(chunks)) == text
    assert max(len(word) for sentence in engine.begun for word in sentence.split()) <= 60


class EndlessEngine(SteppedEngine):
    """Makes a second of sound again and again."""

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        while True:
            yield np.full(RATE_HZ, LEVEL, np.int16)


async def test_the_sound_of_one_sentence_has_an_end() -> None:
    chunks = await all_of(speak(EndlessEngine(), "One. Two.", STYLE))
    made = sum(chunk.pcm.size for chunk in chunks if chunk.pcm.any())
    assert made == 2 * MAX_SENTENCE_S * RATE_HZ
    assert texts(chunks) == ["One. ", "Two."]


@pytest.mark.parametrize("speed", [0.0, 0.2499, 4.01, float("nan"), float("inf"), -1.0])
def test_a_speed_out_of_bounds_is_no_style(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        Style(speed=speed)


def silence_ms(chunks: list[Chunk]) -> int:
    return sum(chunk.pcm.size for chunk in chunks if not chunk.pcm.any()) * 1000 // RATE_HZ


async def test_a_pause_is_silence_in_its_place_instead_of_the_sentences_own() -> None:
    engine = SteppedEngine(free=True)
    chunks = await all_of(speak(engine, "First one. [pause:2s] Second <break time='500ms'/> part.", STYLE))
    assert engine.begun == ["First one.", "Second", "part."]
    sounds = [(bool(chunk.pcm.any()), chunk.pcm.size) for chunk in chunks]
    assert (
        sounds == [(True, 100)] * 2 + [(False, 100)] * 20 + [(True, 100)] * 2 + [(False, 100)] * 5 + [(True, 100)] * 2
    )
    assert "".join(texts(chunks)).split() == ["First", "one.", "Second", "part."]


async def test_a_pause_stands_also_before_the_first_sentence_and_after_the_last() -> None:
    chunks = await all_of(speak(SteppedEngine(free=True), "[pause:300ms]One.[pause:200ms]", STYLE))
    assert [bool(chunk.pcm.any()) for chunk in chunks] == [False] * 3 + [True] * 2 + [False] * 2


async def test_a_text_of_nothing_but_a_pause_is_silence() -> None:
    assert silence_ms(await all_of(speak(SteppedEngine(free=True), '<break time="1s"/>', STYLE))) == 1000


async def test_an_engine_without_sounds_for_a_text_says_so_before_the_pause_that_the_text_begins_with() -> None:
    engine = SteppedEngine(free=True)
    engine.failures["One."] = UnspeakableText("none")
    chunks: list[Chunk] = []
    with pytest.raises(UnspeakableText):
        await all_of(speak(engine, "[pause:1s] One.", STYLE), chunks)
    assert chunks == []


async def test_a_rate_changes_the_pace_of_what_it_encloses() -> None:
    engine = SteppedEngine(free=True)
    text = 'One. <prosody rate="50%">Two. Three.</prosody> Four.'
    await all_of(speak(engine, text, Style(language="en", speed=1.5)))
    assert list(zip(engine.begun, [style.speed for style in engine.styles], strict=True)) == [
        ("One.", 1.5),
        ("Two.", 0.75),
        ("Three.", 0.75),
        ("Four.", 1.5),
    ]


async def test_a_stream_that_cuts_tags_anywhere_is_read_as_the_whole_text() -> None:
    text = 'Dial <say-as interpret-as="digits">4711</say-as> now.<break time="1s"/>Then [pause:1s] wait for <b>it</b>.'
    whole, cut = SteppedEngine(free=True), SteppedEngine(free=True)
    await all_of(speak(whole, text, STYLE))
    source = Source(*text)
    source.put(None)
    chunks = await all_of(speak(cut, source, STYLE))
    assert cut.begun == whole.begun == ["Dial four seven one one now.", "Then", "wait for it ."]
    assert silence_ms(chunks) == 2000


async def test_the_language_is_told_from_the_words_not_from_the_tags() -> None:
    told: list[str] = []
    text = '<speak version="1.1"><prosody rate="medium"><emphasis level="strong">Guten Tag</emphasis></prosody></speak>'
    await all_of(speak(SteppedEngine(free=True), text, Style(), on_language=told.append))
    assert told == ["de"]
