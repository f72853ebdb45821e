"""How words are pronounced, from the text to what an engine is given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from engine.lexicon import Lexicon, Reading
from engine.markup import MarkupReader, without_markup
from engine.pipeline import speak
from engine.pronunciation import as_written
from engine.speech import Chunk, Style
from tests.support.click_engine import ClickEngine

LEXICON = Lexicon(
    {
        "en": {
            "SQL": Reading(say="sequel"),
            "GIF": Reading("dʒɪf", "jiff"),
            "Leicester": Reading("ˈlɛstər"),
            "New York": Reading("nuː ˈjɔːrk"),
            "St. Ives": Reading("səntˈaɪvz"),
        },
        "de": {"Leicester": Reading("ˈlɛstər"), "SQL": Reading(say="Siequell")},
    }
)


async def spoken(text: str | AsyncIterator[str], language: str = "en", *, takes_ipa: bool = True) -> tuple[str, str]:
    """What the engine is given of a text, and the text of what is heard."""
    engine = ClickEngine()
    engine.takes_ipa = takes_ipa
    style = Style(language=language, lexicon=LEXICON)
    chunks: Sequence[Chunk] = [chunk async for chunk in speak(engine, text, style, by_word=True)]
    return " ".join(sentence for sentence, _ in engine.spoken), "".join(chunk.text for chunk in chunks)


@pytest.mark.parametrize(
    ("text", "given", "heard"),
    [
        (
            "Go to [Worcester](/ˈwʊstər/) now.",
            "Go to [Worcester](/ˈwʊstər/) now.",
            "Go to Worcester now.",
        ),
        (
            "<phoneme alphabet='ipa' ph='ˈwʊstər'>Worcester</phoneme>, by SQL.",
            "[Worcester](/ˈwʊstər/), by sequel.",
            "Worcester, by SQL.",
        ),
        ("Leicester's GIF costs $5.", "[Leicester](/ˈlɛstər/)'s [GIF](/dʒɪf/) costs five dollars.", None),
        ("I love New York.", "I love [New](/nuː/) [York](/ˈjɔːrk/).", None),
        ("In [New York City](/nuː ˈjɔːrk/).", "In [New_York_City](/nuːˈjɔːrk/).", "In New York City."),
        ("See [our shop](/shop/), [SQL](/sequel) too.", "See our shop, sequel too.", None),
        ("Welcome to [Worcester](/'wʊs.tə(r)/)!", "Welcome to [Worcester](/'wʊs.tər/)!", "Welcome to Worcester!"),
        ("<phoneme alphabet='x-sampa' ph='wUst@'>Worcester</phoneme>", "Worcester", "Worcester"),
        ("<phoneme ph='what?'>Worcester</phoneme>", "Worcester", "Worcester"),
        ("[Leicester](/ˈlaɪsɛstər/) as it is written.", "[Leicester](/ˈlaɪsɛstər/) as it is written.", None),
    ],
)
async def test_an_engine_that_takes_ipa_is_given_it(text: str, given: str, heard: str | None) -> None:
    assert (await spoken(text))[0] == given
    if heard is not None:
        assert (await spoken(text))[1] == heard


@pytest.mark.parametrize(
    ("text", "language", "given"),
    [
        ("Go to [Worcester](/ˈwʊstər/) now.", "en", "Go to Wooster now."),
        ("A GIF with SQL of Leicester.", "en", "A jiff with sequel of Lester."),
        (
            "Ein Tag in [Worcester](/ˈwʊstər/) mit SQL, in Leicester.",
            "de",
            "Ein Tag in Worcester mit Siequell, in Leicester.",
        ),
    ],
)
async def test_another_engine_is_given_a_respelling(text: str, language: str, given: str) -> None:
    assert (await spoken(text, language, takes_ipa=False))[0] == given


async def test_ipa_is_given_in_english_alone() -> None:
    """The embedded voice, which takes it, speaks other languages by Pico, which read out `slash` and each sign."""
    text = "Ein Tag in [Worcester](/ˈwʊstər/) mit SQL, in Leicester."
    assert await spoken(text, "de", takes_ipa=True) == await spoken(text, "de", takes_ipa=False)


async def test_what_is_heard_is_what_is_written() -> None:
    text = "Leicester costs $5, and [Worcester](/ˈwʊstər/) with SQL more. GIF!"
    plain = text.replace("[Worcester](/ˈwʊstər/)", "Worcester")
    for takes_ipa in (True, False):
        assert (await spoken(text, takes_ipa=takes_ipa))[1] == plain


async def test_a_word_in_pieces_is_pronounced_too() -> None:
    text = "Go to [Worcester](/ˈwʊstər/). Then [1] to [our shop](/shop/) [pause:1s], <phoneme ph='dʒɪf'>GIF</phoneme>."

    async def pieces(size: int) -> AsyncIterator[str]:
        for start in range(0, len(text), size):
            yield text[start : start + size]

    whole = await spoken(text)
    assert "[Worcester](/ˈwʊstər/). " in whole[0]
    for size in (1, 2, 7):
        assert await spoken(pieces(size)) == whole


def test_nothing_is_held_back_without_need() -> None:
    reader = MarkupReader()
    assert "".join(map(str, reader.feed("As [1] says"))) == "As [1] says"
    assert reader.feed("[pause:1s]"), "a pause waits for nothing"
    assert not reader.feed("[Wor")
    assert not reader.feed("cester](/ˈwʊs")
    assert as_written("".join(map(str, reader.feed("tər/)")))) == "Worcester"


def test_a_text_brings_no_sounds_in_disguise() -> None:
    sneaky = "Hello" + chr(0xF0005) + chr(0xF0000 + ord("a")) + " there"
    assert without_markup(sneaky) == "Hello there"
    assert "".join(map(str, MarkupReader().feed(sneaky))) == "Hello there"


async def test_a_number_or_short_form_with_a_reading_is_not_written_out() -> None:
    given, heard = await spoken("Dr. St. Ives has [3](/ˈθriː/) of 4.")
    assert given == "doctor [St._Ives](/səntˈaɪvz/) has [3](/ˈθriː/) of four."
    assert heard == "Dr. St. Ives has 3 of 4."


@pytest.mark.parametrize("takes_ipa", [True, False])
@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("[An](/ˈæn/)<phoneme ph='ˈæ'></phoneme> apple", "An apple"),
        ("[An](/ˈæn/)<phoneme ph='ˈæ'> </phoneme>apple", "An apple"),
        ("<sub alias='An&#983042;&#983104;'>a</sub> apple", "An apple"),
        ("<say-as interpret-as='cardinal'>An&#983042;&#983104;</say-as> apple", "An apple"),
        ("<phoneme ph='ˈæn'>An&#983042;&#983104;</phoneme> apple", "An apple"),
        ("<phoneme ph='ˈæn&#983042;'>An</phoneme> apple", "An apple"),
        ("[An](/ˈæn\U0001e8d0/) apple", "An apple"),
        ("<phoneme ph='ˈæn'>A]n</phoneme> apple", "A]n apple"),
        ("<phoneme ph='ˈæn'>A&#91;n</phoneme> apple", "A[n apple"),
    ],
)
async def test_no_text_makes_its_sentence_fail_or_shows_its_sounds(text: str, heard: str, takes_ipa: bool) -> None:
    given, words = await spoken(text, takes_ipa=takes_ipa)
    assert words == heard
    assert "/" not in given.replace("[An](/ˈæn", "").replace("/)", "")
