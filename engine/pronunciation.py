"""How single words of a text are pronounced, on their way from the text to the engine. No I/O.

In a text, the sounds stand behind their word, in characters that no text has. Where a sentence is written out for
reading aloud, a placeholder stands for the word, so that nothing of it is written otherwise.
"""

from __future__ import annotations

import re
from typing import Final

from engine.lexicon import Lexicon, Reading
from engine.respelling import respelled

_FIRST: Final = 0xF0000
"""The first of Unicode's private characters that carry the length of a word and then its sounds."""
_SOUNDS: Final = re.compile("[\U000f0000-\U0010ffff]+")
_PLACEHOLDER: Final = re.compile("[Qq]ƿ[a-z]+ƿ")
_BRACKETS: Final = re.compile(r"[()/\[\]]")


def marked(word: str, ipa: str) -> str:
    """Returns a word that carries its sounds."""
    return word + "".join(chr(_FIRST + code) for code in (len(word), *map(ord, ipa)))


def as_written(text: str) -> str:
    """Returns a text as it is written: without the sounds."""
    return text if text.isascii() else _SOUNDS.sub("", text)


class Pronounced:
    """One sentence, with a placeholder for each word whose pronunciation is told in the text or in a lexicon."""

    def __init__(self, sentence: str, lexicon: Lexicon | None, language: str, *, takes_ipa: bool) -> None:
        """`takes_ipa` tells whether the engine reads `[word](/IPA/)` in English. Others are given another spelling."""
        self.written = as_written(sentence)
        """The sentence as it is written."""
        self._lexicon, self._language = lexicon, language
        self._is_english = language[:2].lower() == "en"
        self._takes_ipa = takes_ipa and self._is_english
        self._told: dict[str, tuple[str, str]] = {}
        """For each placeholder, what the engine is given, and the words that it stands for."""
        self.text = self.written
        """The sentence with the placeholders."""
        if lexicon or self.written != sentence:
            self.text = self._hidden(sentence)

    def for_engine(self, text: str) -> str:
        """Returns a text with what the engine is given in place of the placeholders."""
        return self._revealed(text, 0)

    def as_words(self, text: str) -> str:
        """Returns the same text without IPA: word for word what `for_engine` returns."""
        return self._revealed(text, 1)

    def _hidden(self, sentence: str) -> str:
        hidden, at = "", 0
        for sounds in _SOUNDS.finditer(sentence):
            length, *codes = (ord(char) - _FIRST for char in sounds[0])
            begins = max(at, sounds.start() - length)
            hidden += self._looked_up(sentence[at:begins])
            reading = Reading(ipa="".join(map(chr, codes)))
            hidden += self._placeholder(sentence[begins : sounds.start()], reading)
            at = sounds.end()
        return hidden + self._looked_up(sentence[at:])

    def _looked_up(self, text: str) -> str:
        if not self._lexicon:
            return text
        hidden, at = "", 0
        for begins, ends, reading in self._lexicon.find(text, self._language):
            hidden += text[at:begins] + self._placeholder(text[begins:ends], reading)
            at = ends
        return hidden + text[at:]

    def _placeholder(self, word: str, reading: Reading) -> str:
        if not word.strip() or (told := self._reading(word, reading)) is None:
            return word
        number, letters = len(self._told), ""
        while number or not letters:
            number, letter = divmod(number, 26)
            letters += chr(ord("a") + letter)
        placeholder = f"{'Q' if word[0].isupper() else 'q'}ƿ{letters}ƿ"
        self._told[placeholder] = told
        return placeholder

    def _reading(self, word: str, reading: Reading) -> tuple[str, str] | None:
        """Returns what the engine is given and the words that it is; None where the engine can only read the word."""
        if reading.ipa and self._takes_ipa:
            words, sounds = word.split(), _BRACKETS.sub("", reading.ipa).split()
            if len(words) != len(sounds):
                words, sounds = ["_".join(words)], ["".join(sounds)]
            links = (f"[{one}](/{ipa}/)" for one, ipa in zip(words, sounds, strict=True))
            return " ".join(links), " ".join(words)
        say = reading.say
        if not say and self._is_english:
            say = respelled(reading.ipa)
            say = say.capitalize() if word[0].isupper() and not word.isupper() else say
        return (say, say) if say else None

    def _revealed(self, text: str, which: int) -> str:
        if not self._told:
            return text
        return _PLACEHOLDER.sub(lambda match: self._told.get(match[0], (match[0], match[0]))[which], text)
