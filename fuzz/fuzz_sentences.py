"""Sentences: joined they are the text, however it arrived, and none is too long for an engine."""

from __future__ import annotations

import time
from typing import Final

from fuzz.harness import fuzz, instrumented
from fuzz.pieces import as_text, chosen, pieces

with instrumented(__name__, "engine.text"):
    from engine.text import MAX_SENTENCE_CHARS, SentenceSplitter, break_words, pause_after_ms, split, whole_sentences

LANGUAGES: Final = ("en", "de", "ja", "xx")
FIRST_CHARS: Final = (None, 20, 60)
MOST_CHARS: Final = 500
"""More than the longest sentence; a longer text is cut by the same rules."""
MOST_S: Final = 2.0
"""Of the processor, for so much text, with its branches counted and on a busy machine. It takes some 10 ms."""
SEEDS: Final = (
    b"\x01Hello, Dr. Smith. It is 3.30 p.m. - is it? Yes!\n\n1. First\n2. second, and so on\n",
    "\x02Er sagte: „Komm!“ Dann ging er. „Nein…“ 你好。再见！もしもし？ ".encode(),
    b"\x07" + b"no end mark, but clauses, " * 20 + b"x" * 400,
    b'\x0bwww.example.com. e.g. this. U.S.A. "So?" she said. (Really.) ...',
)


def check(data: bytes) -> None:
    how, rest = chosen(data)
    text = as_text(rest)[:MOST_CHARS]
    language, first_chars = LANGUAGES[how % len(LANGUAGES)], FIRST_CHARS[how // 16 % len(FIRST_CHARS)]
    began_s = time.thread_time()
    sentences = split(text, language, first_chars)
    assert time.thread_time() - began_s < MOST_S
    assert "".join(sentences) == text
    splitter = SentenceSplitter(language, first_chars)
    arrived = [sentence for piece in pieces(text, how // 4) for sentence in splitter.feed(piece)]
    assert arrived + splitter.finish() == sentences
    for sentence in sentences:
        assert sentence
        assert len(sentence.rstrip()) <= MAX_SENTENCE_CHARS + 1
        assert pause_after_ms(sentence) >= 0
    assert text.startswith(whole_sentences(text, language))
    assert break_words(text).replace(" ", "") == text.replace(" ", "")


if __name__ == "__main__":
    fuzz(check, SEEDS)
