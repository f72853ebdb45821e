import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.growing_text import GrowingText
from engine.text import (
    CLAUSE_PAUSE_MS,
    LINE_PAUSE_MS,
    MAX_SENTENCE_CHARS,
    SENTENCE_PAUSE_MS,
    SentenceSplitter,
    break_words,
    pause_after_ms,
    sentences,
    split,
    whole_sentences,
)


def stripped(text: str, **options: object) -> list[str]:
    return [sentence.strip() for sentence in split(text, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "expected",
    [
        ["Hello there.", "How are you?", "Fine!"],
        ["Dr. Smith paid $3.50 for it.", "Mr. J. K. Rowling Jr. wrote it."],
        ["It was 5 p.m.", "Then he came.", "The U.S. is big."],
        ["See e.g. this, i.e. that.", "Born in 1999.", "Then died."],
        ['He said "Go away."', "Then he left.", "“Yes!”", "(He nodded.)", "Good."],
        ["“Yes.” she said."],
        ["Visit https://example.com/a.b?c=d.", "Mail me at a.b@c.com.", "Version 2.10.3 is out."],
        ["Wait... what?", "Really?!", "Yes!!!", "Well…", "No."],
        ["1. First item", "2. Second item", "- third", "- fourth"],
        ["Opening hours", "Monday 9 to 5", "Tuesday closed"],
        ["A first paragraph without an end", "A second one"],
        ["This line was only wrapped\nand goes on here.", "Next."],
        ["No end mark here"],
        ["你好。", "今天天气很好！", "我们走吧？", "好"],
        ["他说：「好。」", "然后走了。"],
        ["日本語です。", "はい！", "そうですか？"],
        ["안녕하세요.", "무엇을 도와드릴까요?"],
        ["Привет.", "Как дела?"],
        ["مرحبا.", "كيف حالك؟", "جيد."],
        ["**Note.**", "The *second* one."],
    ],
    ids=lambda expected: expected[0][:20],
)
def test_sentences(expected: list[str]) -> None:
    joint = "\n" if any(mark in "".join(expected) for mark in ("1. First", "Opening", "paragraph")) else " "
    if expected[0][0] > "぀" and not expected[0][0] >= "가":
        joint = ""
    assert stripped(joint.join(expected)) == expected


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("de", ["Das ist z. B. am Montag, bzw. am Dienstag.", "Herr Dr. Meier kommt."]),
        ("fr", ["M. Dupont est là.", "Où est-il ?"]),
        ("es", ["El Sr. García llamó.", "¿Quién es?", "¡Hola!"]),
    ],
)
def test_other_languages(language: str, expected: list[str]) -> None:
    assert stripped(" ".join(expected), language=language) == expected


SNIPPETS = [
    *["Hello there. ", "Dr. ", "Smith", "3.", "14", "5 p.m. ", "e.g. ", '"Go." ', "www.a.com/b", "a@b.co", "U.S. "],
    *["!", "?", "...", "…", "\n", "\n\n", "- item", "1. ", "你好。", "「好。」", "。", ", and ", "; ", "A.", "J. K. "],
    *["Yes", "no", "(x.) ", " ", "\t", "very long words go on and on ", "😀", "ünïcode ", "$1.50 ", "**b.** "],
]
TEXTS = st.lists(st.sampled_from(SNIPPETS) | st.text(max_size=8), max_size=60).map("".join)


@given(TEXTS, st.none() | st.integers(10, 120))
def test_nothing_is_lost(text: str, first_chars: int | None) -> None:
    assert "".join(split(text, first_chars=first_chars)) == text


@given(TEXTS, st.lists(st.integers(0, 400)), st.none() | st.integers(10, 120))
def test_pieces_give_the_same_sentences_as_the_whole(text: str, cuts: list[int], first_chars: int | None) -> None:
    splitter = SentenceSplitter(first_chars=first_chars)
    edges = sorted(min(cut, len(text)) for cut in cuts)
    found = []
    for start, end in zip([0, *edges], [*edges, len(text)], strict=True):
        found += splitter.feed(text[start:end])
    assert found + splitter.finish() == split(text, first_chars=first_chars)


@given(TEXTS)
def test_no_sentence_is_too_long(text: str) -> None:
    assert all(len(sentence.strip()) <= MAX_SENTENCE_CHARS + 1 for sentence in split(text))


def test_a_sentence_is_known_at_the_next_word() -> None:
    splitter = SentenceSplitter()
    assert splitter.feed("Hello there.") == []
    assert splitter.feed(" ") == []
    assert splitter.feed("H") == ["Hello there. "]
    assert splitter.finish() == ["H"]


def test_ready_for_another_text_after_finish() -> None:
    splitter = SentenceSplitter(first_chars=20)
    long = "Whoever calls us now, will be called back later."
    assert splitter.feed(long) + splitter.finish() == splitter.feed(long) + splitter.finish()


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        ("If you would like to wait, please stay on the line and we will be with you.", "If you would like to wait, "),
        ("Please have your number at hand because we will ask you for it.", "Please have your number at hand "),
        (
            "我们会尽快给您回电，请您耐心等待一下，谢谢您的来电和您的耐心等待我们的回复。",
            "我们会尽快给您回电，请您耐心等待一下，",
        ),
        ("Short enough to be left alone.", "Short enough to be left alone."),
        (
            "The quite extraordinarily long name of this department never ends.",
            "The quite extraordinarily long name of this ",
        ),
    ],
)
def test_a_long_opening_is_broken_at_a_clause(text: str, opening: str) -> None:
    found = split(text, first_chars=32)
    assert found[0] == opening
    assert "".join(found) == text


def test_only_the_first_sentence_is_broken_early() -> None:
    text = "Hello. If you would like to wait, please stay on the line and we will be with you."
    assert split(text, first_chars=32) == ["Hello. ", text[7:]]


@pytest.mark.parametrize(
    ("sentence", "pause_ms"),
    [
        ("Yes. ", SENTENCE_PAUSE_MS),
        ('He said "no!" ', SENTENCE_PAUSE_MS),
        ("好。", SENTENCE_PAUSE_MS),
        ("If you wait, ", CLAUSE_PAUSE_MS),
        ("broken between ", 0),
        ("- an item\n", LINE_PAUSE_MS),
        ("A paragraph.\n\n", LINE_PAUSE_MS),
        ("", 0),
    ],
)
def test_pauses(sentence: str, pause_ms: int) -> None:
    assert pause_after_ms(sentence) == pause_ms


async def test_sentences_of_a_whole_text_and_of_pieces() -> None:
    text = "First one. Second one? " * 40

    async def pieces() -> AsyncIterator[str]:
        for start in range(0, len(text), 7):
            yield text[start : start + 7]

    whole = [sentence async for sentence in sentences(text)]
    assert whole == split(text)
    assert [sentence async for sentence in sentences(pieces())] == whole


async def test_closing_closes_the_source() -> None:
    closed = asyncio.Event()

    async def pieces() -> AsyncIterator[str]:
        try:
            while True:
                yield "One sentence. "
        finally:
            closed.set()

    async with aclosing(sentences(pieces())) as found:
        assert await anext(found) == "One sentence. "
    assert closed.is_set()


@pytest.mark.parametrize(
    "text", ["a-" * 214, "9," * 45, "x" * 1000, "9" * 500, "Say " + "ab" * 100 + " twice.", "ü" * 61]
)
def test_no_word_is_longer_than_an_engine_is_good_for(text):
    words = break_words(text)
    assert max(map(len, words.split())) <= 60
    assert max(sum(map(str.isdigit, word)) for word in words.split()) <= 15
    assert words.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    "text",
    [
        "Call 0123456789 now.",
        "Donaudampfschifffahrtsgesellschaftskapitänsmütze",
        "这" * 200,
        "ก" * 200,
        "x" * 60,
        "7" * 15,
    ],
)
def test_words_that_people_say_are_left_whole(text):
    assert break_words(text) == text


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("We open at nine. On Sundays we", "We open at nine. "),
        ("We open at nine.", "We open at nine."),
        ('He said "no."', 'He said "no."'),
        ("Dr. Smith is", ""),
        ("We open", ""),
        ("One line\n", "One line\n"),
        ("", ""),
    ],
)
def test_whole_sentences_are_told_from_one_that_broke_off(text: str, whole: str) -> None:
    assert whole_sentences(text) == whole


async def test_a_text_that_breaks_off_ends_with_its_last_whole_sentence() -> None:
    for pieces, expected in ((["One. ", "Two and"], ["One. "]), (["One.", " Two."], ["One. ", "Two."]), (["One"], [])):
        text = GrowingText()
        for piece in pieces:
            text.write(piece)
        text.break_off()
        text.write("more")
        assert [sentence async for sentence in sentences(text)] == expected
