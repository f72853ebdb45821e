"""What counts as words: for deciding whether a caller said something or only made a listener's noise."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Final

_WORD: Final = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"  # kana and ideographs are words of their own
    r"|(?:(?![\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])\w)+(?:['’]\w+)*"
)

SAME_SPEECH: Final = 0.6
"""Share of words in common from which two texts are of the same speech, told twice."""
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


def words(text: str) -> list[str]:
    """The words of `text` in lower case, without punctuation; "mm-hm" is two."""
    return [word.replace("’", "'") for word in _WORD.findall(text.casefold())]


def same_speech(first: list[str], second: list[str]) -> bool:
    """Whether these are the words of one stretch of speech, told twice."""
    return SequenceMatcher(None, first, second, autojunk=False).ratio() >= SAME_SPEECH


class Backchannels:
    """A list of listener's noises. Empty, nothing is one."""

    def __init__(self, phrases: Iterable[str] = ()) -> None:
        self._phrases = [tuple(split) for phrase in phrases if (split := words(phrase))]

    def all_of(self, text: str, *, unfinished: bool = False) -> bool:
        """True when `text` is nothing but such noises. `unfinished`: the last may still be on its way."""
        return bool(self._phrases) and self._match(tuple(words(text)), unfinished)

    def _match(self, said: tuple[str, ...], unfinished: bool) -> bool:
        if not said:
            return True
        for phrase in self._phrases:
            if said[: len(phrase)] == phrase and self._match(said[len(phrase) :], unfinished):
                return True
            if unfinished and len(said) < len(phrase) and phrase[: len(said)] == said:
                return True
        return False
