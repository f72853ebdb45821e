"""Texts written out for reading aloud: in every language, in bounded time, and never to an error."""

from __future__ import annotations

import time
from typing import Final

from fuzz.harness import fuzz, instrumented
from fuzz.pieces import as_text, chosen

with instrumented(__name__, "engine.english", "engine.normalize", "engine.spelling"):
    from engine.normalize import is_plain, load, normalize
    from engine.text import MAX_SENTENCE_CHARS

LANGUAGES: Final = ("en", "de", "es", "fr", "it", "pt", "xx")
MOST_S: Final = 2.0
"""Of the processor, for one sentence, on a busy machine. It takes some milliseconds."""
SEEDS: Final = tuple(
    bytes([language]) + text.encode()
    for language in range(len(LANGUAGES))
    for text in (
        "Call +43 1 2345678 or 555-1234 at 3:30 p.m. on 2026-11-29, order #A-1234 costs $1,234.50 (50%).",
        "Write to a.b@example.com, see https://www.example.org/x?y#z. **Bold** `code` [link](http://x) 😀",
        "Dr. Smith, 12 Main St., St. Louis, Mon-Fri, Louis XIV, ½ × 3 ≥ 1.5°C, 1/2 + 10^3 = €2.000,00.",
    )
)


def check(data: bytes) -> None:
    which, rest = chosen(data)
    text = as_text(rest)[:MAX_SENTENCE_CHARS]
    language = LANGUAGES[which % len(LANGUAGES)]
    load(language)
    began_s = time.thread_time()
    written = normalize(text, language)
    assert time.thread_time() - began_s < MOST_S
    if is_plain(text):
        assert written == text
    else:
        assert written == written.strip()
        assert "\n" not in written


if __name__ == "__main__":
    fuzz(check, SEEDS)
