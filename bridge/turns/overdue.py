"""Remembers words that were answered before their final transcript came, and tells what a later text adds. No I/O."""

from __future__ import annotations

from typing import Final

from bridge.turns.words import place_of_word, same_speech, words

REVISED_WORDS: Final = 2
"""By how many words a recogniser may revise the length of what it has told already."""

LATE_WORDS: Final = 2
"""How many words a transcript must add to those that are being answered aloud to be worth an interruption."""


class OverdueWords:
    """The words of one stretch of speech that were answered without waiting any longer."""

    def __init__(self) -> None:
        self._words: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._words)

    def answered(self, text: str) -> None:
        """Notes that these words are being answered, after those that were answered before them."""
        self._words += words(text)

    def clear(self) -> None:
        """Forgets the words: what comes now belongs to other speech."""
        self._words = []

    def settle(self, text: str, *, thinking: bool) -> str:
        """Returns what a final transcript says beyond these words that is worth saying, and forgets them.

        While their answer is `thinking`, any other word is; while it is heard, or has been, LATE_WORDS at least are.
        """
        rest = self.rest(text, exact=thinking)
        self._words = []
        enough = 1 if thinking or rest == text else LATE_WORDS
        return rest if len(words(rest)) >= enough else ""

    def rest(self, text: str, *, exact: bool = False) -> str:
        """Returns what this text says beyond the words that were answered; all of it if it is other speech.

        With `exact`, it is other speech as soon as one word differs.
        """
        if not self._words:
            return text
        said, count = words(text), len(self._words)
        if said[:count] != self._words[: len(said)] and (exact or not same_speech(self._words, said[:count])):
            return text
        if len(said) <= count:
            return ""
        near = sorted(range(max(count - REVISED_WORDS, 1), count + REVISED_WORDS + 1), key=lambda n: abs(n - count))
        cut = next((n for n in near if n <= len(said) and said[n - 1] == self._words[-1]), count)
        return text[place_of_word(text, cut) :]
