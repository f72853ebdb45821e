"""Splits a text, whole or arriving in pieces, into sentences; nothing is lost or changed on the way."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import aclosing
from functools import cache, partial
from typing import Any, Final

from stream2sentence.quick_yield_boundary import HOLD, SPLIT, get_boundary_detector

from engine.loop_share import loop_share
from engine.markup import Mark, MarkupReader

END_MARKS: Final = ".!?…。！？｡؟।۔"
CLOSING_MARKS: Final = "\"'”’»›)]}」』）】》〉*_~`"
CLAUSE_MARKS: Final = ",;:，、；：—–"
# A sentence longer than this is broken at a clause, or between words: an engine that makes whole sentences would be
# busy with it for too long, and a text without an end mark would never be heard.
MAX_SENTENCE_CHARS: Final = 300
# An opening shorter than this is not worth the break in its melody. One without a clause may grow to this many times
# what was asked for before it is broken between words, where a break is heard most.
MIN_OPENING_CHARS: Final = 12
OPENING_GROWTH: Final = 1.6
# Split at a time: what has no end mark takes up to 4 µs a character.
SLICE_CHARS: Final = 256
SENTENCE_PAUSE_MS: Final = 180
CLAUSE_PAUSE_MS: Final = 90
LINE_PAUSE_MS: Final = 300  # between paragraphs and the items of a list

# Nothing that is said is as long, and what an engine needs for a word may grow with the square of its length. Scripts
# that put no spaces between words are left alone: Thai, Lao, Burmese, Khmer, Chinese, Japanese, Korean.
MAX_WORD_CHARS: Final = 60
MAX_DIGITS: Final = 15  # a quadrillion
MAX_CAPITALS: Final = 30
_LONG_WORD: Final = re.compile(
    rf"[^\s\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
    rf"{{{MAX_WORD_CHARS}}}(?=\S)"
)
_SPELLED: Final = re.compile(rf"(?:\d[.,]?){{{MAX_DIGITS}}}(?=\d)|(?:[A-Z0-9][.,]?){{{MAX_CAPITALS}}}(?=[A-Z0-9])")
_ENUMERATOR: Final = re.compile(r"\s*[(\[]?(\d{1,3}|[A-Za-z])\.")
_CLAUSE: Final = re.compile(
    rf"(?<=[{CLAUSE_MARKS}])\s+|(?<=[，、；：])|\s+(?=(?:and|but|or|so|because|which|who|if|when|while)\s)"
)
_SPACE: Final = re.compile(r"\s+")


@cache
def _detector(language: str) -> Any:
    return get_boundary_detector(language)


class SentenceSplitter:
    """Cuts text that arrives in pieces into sentences, each as soon as it is sure to end.

    A sentence keeps its trailing white space, so that the sentences put together are the text. Every decision is made
    at one character with the text up to there, so how the text was cut into pieces makes no difference.
    """

    def __init__(self, language: str | Callable[[], str] = "en", first_chars: int | None = None) -> None:
        """A first sentence longer than `first_chars` is broken at its last clause before that length, or its next.

        The language may be a function, which is asked at each end mark: it may be known only from the text so far.
        """
        self._language = language
        self._first_chars = first_chars or MAX_SENTENCE_CHARS
        self._begin()

    def _begin(self) -> None:
        self._buffer = ""
        self._mark = -1  # the end mark in the buffer that may be a sentence's end, -1 for none
        self._clause_limit = self._first_chars
        self._limit = min(MAX_SENTENCE_CHARS, int(self._first_chars * OPENING_GROWTH))

    def feed(self, piece: str) -> list[str]:
        """Takes the next piece of text; returns the sentences that are now known to be whole."""
        sentences = []
        for char in piece:
            self._buffer += char
            cut = self._cut()
            if cut:
                sentences.append(self._take(cut))
        return sentences

    def finish(self) -> list[str]:
        """Ends the text and returns what is left of it. Another text may follow."""
        rest = self._buffer
        self._begin()
        return [rest] if rest else []

    def flush(self) -> list[str]:
        """Ends the sentence where the text is, and returns it; the text goes on."""
        return [self._take(len(self._buffer))] if self._buffer else []

    def _take(self, cut: int) -> str:
        sentence, self._buffer, self._mark = self._buffer[:cut], self._buffer[cut:], -1
        self._clause_limit = self._limit = MAX_SENTENCE_CHARS
        return sentence

    def _cut(self) -> int:
        """Returns where the buffer's first sentence ends, given that it did not one character ago; 0 if it does not."""
        buffer, last = self._buffer, len(self._buffer) - 1
        char = buffer[last]
        if not char.isspace() and self._line_ends():
            return last
        if char in END_MARKS:
            self._mark = last
        elif self._mark >= 0 and not char.isspace() and not self._closes(char):
            language = self._language if isinstance(self._language, str) else self._language()
            verdict = _detector(language).classify(buffer, self._mark, buffer[self._mark + 1])
            if verdict == SPLIT and not _ENUMERATOR.fullmatch(buffer, 0, self._mark + 1):
                return self._after_mark()
            if verdict != HOLD:
                self._mark = -1
        return self._break() if last >= self._clause_limit else 0

    def _closes(self, char: str) -> bool:
        """Tells whether a closing mark at the buffer's end belongs to the sentence before: it follows without a gap."""
        return char in CLOSING_MARKS and not self._buffer[-2].isspace()

    def _after_mark(self) -> int:
        """Returns the place of the first character after the end mark that belongs to the next sentence."""
        end = self._mark + 1
        while end < len(self._buffer) and (self._buffer[end] in CLOSING_MARKS or self._buffer[end] in END_MARKS):
            end += 1
        while end < len(self._buffer) and self._buffer[end].isspace():
            end += 1
        return end

    def _line_ends(self) -> bool:
        """Tells whether a line break before the last character ends a sentence: not where a line was merely wrapped."""
        buffer = self._buffer
        body = buffer[:-1].rstrip()
        gap = buffer[len(body) : -1]
        return bool(body) and "\n" in gap and (gap.count("\n") > 1 or not buffer[-1].islower())

    def _break(self) -> int:
        """Returns where to break a long buffer: after its last clause; if too long, between words or anywhere; or 0."""
        patterns = (_CLAUSE, _SPACE) if len(self._buffer) > self._limit else (_CLAUSE,)
        for pattern in patterns:
            ends = [match.end() for match in pattern.finditer(self._buffer)]
            ends = [end for end in ends if MIN_OPENING_CHARS <= end < len(self._buffer)]
            if ends:
                return ends[-1]
        return len(self._buffer) - 1 if len(self._buffer) > self._limit else 0


def break_words(text: str) -> str:
    """Returns the text with a space after every 60 characters of a word, 15 digits of a number, or 30 capitals."""
    return _LONG_WORD.sub(r"\g<0> ", _SPELLED.sub(r"\g<0> ", text))


def pause_after_ms(sentence: str) -> int:
    """Returns the silence between this sentence and the next, which depends on how this one ends."""
    body = sentence.rstrip()
    if "\n" in sentence[len(body) :]:
        return LINE_PAUSE_MS
    last = body.rstrip(CLOSING_MARKS)[-1:]
    if last and last in END_MARKS:
        return SENTENCE_PAUSE_MS
    return CLAUSE_PAUSE_MS if last and last in CLAUSE_MARKS else 0


def split(text: str, language: str = "en", first_chars: int | None = None) -> list[str]:
    """Returns the sentences of a whole text, each with its trailing white space."""
    splitter = SentenceSplitter(language, first_chars)
    return splitter.feed(text) + splitter.finish()


def whole_sentences(text: str, language: str = "en") -> str:
    """Returns the text without the sentence at its end that was not finished, if there is one."""
    *whole, last = split(text, language) or [""]
    return "".join([*whole, last] if _is_whole(last) else whole)


def _is_whole(sentence: str) -> bool:
    body = sentence.rstrip()
    return "\n" in sentence[len(body) :] or body.rstrip(CLOSING_MARKS)[-1:] in tuple(END_MARKS)


class Unfinished(Exception):
    """Is raised by the source of a text that ends before its time: its last sentence, unless whole, is not spoken."""


async def sentences(
    text: str | AsyncIterable[str],
    language: str | Callable[[], str] = "en",
    first_chars: int | None = None,
    urgency: int = 0,
) -> AsyncGenerator[str | Mark, None]:
    """Yields the sentences of a text that is whole or arrives in pieces, and the marks of its markup between them.

    A mark ends the sentence before it. Closing the generator closes the source of the pieces. All texts are split in
    the time that a `LoopShare` has for it, the most urgent first.
    """
    reader, splitter = MarkupReader(language), SentenceSplitter(language, first_chars)
    share = loop_share()
    unfinished = False
    async with aclosing(_slices(text)) as slices:
        try:
            async for piece in slices:
                for item in await share.do(partial(_split, reader, splitter, piece), urgency):
                    yield item
        except Unfinished:
            unfinished = True
    rest = [] if unfinished else _placed(reader.finish(), splitter)
    for item in [*rest, *splitter.finish()]:
        if not unfinished or (isinstance(item, str) and _is_whole(item)):
            yield item


def _split(reader: MarkupReader, splitter: SentenceSplitter, piece: str) -> list[str | Mark]:
    return _placed(reader.feed(piece), splitter)


def _placed(items: list[str | Mark], splitter: SentenceSplitter) -> list[str | Mark]:
    """Returns the sentences that the items end, with the marks where they stand."""
    placed: list[str | Mark] = []
    for item in items:
        placed += splitter.feed(item) if isinstance(item, str) else [*splitter.flush(), item]
    return placed


async def _slices(text: str | AsyncIterable[str]) -> AsyncGenerator[str, None]:
    """Yields the text in pieces that each take less than a millisecond to split: others need the loop meanwhile."""
    if isinstance(text, str):
        for start in range(0, len(text), SLICE_CHARS):
            yield text[start : start + SLICE_CHARS]
        return
    iterator = aiter(text)
    try:
        async for piece in iterator:
            for start in range(0, len(piece), SLICE_CHARS):
                yield piece[start : start + SLICE_CHARS]
    finally:
        if isinstance(iterator, AsyncGenerator):
            await iterator.aclose()
