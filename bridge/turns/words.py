"""Splits texts into words, to tell whether a caller said something or only made a listener's noise."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Final

_WORD: Final = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"  # kana and ideographs are words of their own
    r"|(?:(?![\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])\w)+(?:'\w+)*"
)

SAME_SPEECH: Final = 0.6
"""The share of common words from which two texts count as the same speech, told twice."""
BACKCHANNELS: Final[dict[str, tuple[str, ...]]] = {
    "en": ("mm", "mm hm", "mhm", "uh huh", "hm", "hmm", "aha", "ah", "oh", "yeah", "yep", "right", "okay", "ok",
           "i see", "sure", "got it"),
    "de": ("mm", "mhm", "hm", "hmm", "aha", "ah", "ach so", "ja", "okay", "ok", "genau", "gut", "klar", "verstehe"),
    "fr": ("mm", "mhm", "hm", "hmm", "ah", "oui", "ouais", "d'accord", "ok", "okay", "je vois", "bien"),
    "es": ("mm", "mhm", "hm", "aja", "ajá", "ah", "sí", "si", "ya", "vale", "claro", "ok", "okay", "bueno"),
    "it": ("mm", "mhm", "hm", "ah", "sì", "si", "già", "okay", "ok", "va bene", "certo", "capisco"),
    "zh": ("嗯", "嗯嗯", "哦", "噢", "啊", "对", "对对", "好", "好的", "是", "是的"),
    "ja": ("うん", "ええ", "はい", "あ", "ああ", "へえ", "そう", "そうですか", "なるほど"),
}  # fmt: skip
"""Listener's noises by ISO 639-1 language, for `BACKCHANNELS=en`: what one says to mean "go on"."""

NUDGES: Final = (
    "hello", "hello are you there", "are you there", "are you still there", "you there", "anybody there",
    "is anybody there", "anyone there", "is anyone there", "can you hear me", "do you hear me",
    "hallo", "sind sie da", "sind sie noch da", "noch da", "ist da jemand", "hören sie mich",
    "allô", "allo", "vous êtes là", "il y a quelqu'un", "vous m'entendez",
    "hola", "oiga", "está ahí", "hay alguien", "me oye",
    "pronto", "c'è qualcuno", "mi sente",
    "喂", "你好", "在吗", "もしもし",
)  # fmt: skip
"""What somebody says who waits for an answer. It adds nothing to what the answer is about."""

MAX_SAID_CHARS: Final = 10_000
"""How much of what a caller says is kept until it is answered."""
MOST_WORDS: Final = 100
"""Whoever says more noises than this without a pause wants to be heard."""


def words(text: str) -> list[str]:
    """Returns the words of `text` in lower case, without punctuation; "mm-hm" is two words."""
    return _WORD.findall(text.casefold().replace("’", "'"))


def place_of_word(text: str, index: int) -> int:
    """Returns where in `text` the word begins that `words` has at `index`; the length of `text` if there is none."""
    match = next(islice(_WORD.finditer(text.replace("’", "'")), index, None), None)
    return len(text) if match is None else match.start()


def same_speech(first: list[str], second: list[str]) -> bool:
    """Tells whether these are the words of one stretch of speech, told twice."""
    shared = (Counter(first) & Counter(second)).total()
    return 2 * shared >= SAME_SPEECH * (len(first) + len(second))


class Backchannels:
    """A list of listener's noises. If it is empty, nothing counts as such a noise."""

    def __init__(self, phrases: Iterable[str] = ()) -> None:
        self._beginning: dict[str, list[list[str]]] = {}
        """For each first word, the noises that begin with it, each as the list of its further words."""
        for first, *rest in {tuple(split) for phrase in phrases if (split := words(phrase))}:
            self._beginning.setdefault(first, []).append(rest)

    def all_of(self, text: str, *, unfinished: bool = False) -> bool:
        """Tells whether `text` is nothing but such noises, of MOST_WORDS words at most.

        If it is `unfinished`, the rest of its last noise may still follow.

        The time grows in proportion to the length of the text, because a caller chooses it.
        """
        said = words(text)
        if not self._beginning or len(said) > MOST_WORDS:
            return False
        ends = {0}  # after how many words a noise may have ended
        for place, word in enumerate(said):
            if place not in ends:
                continue
            for rest in self._beginning.get(word, ()):
                following = said[place + 1 : place + 1 + len(rest)]
                if following == rest:
                    ends.add(place + 1 + len(rest))
                elif unfinished and following == rest[: len(said) - place - 1]:
                    return True
        return len(said) in ends
