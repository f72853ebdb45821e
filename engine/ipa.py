"""Reads the International Phonetic Alphabet: sounds, and the stress before them."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

PRIMARY: Final = "ˈ"
SECONDARY: Final = "ˌ"
STRESSES: Final = (PRIMARY, SECONDARY)
LONG: Final = "ː"
SYLLABIC: Final = "\u0329"
NASAL: Final = "\u0303"
MAX_IPA_CHARS: Final = 100

DIPHTHONGS: Final = ("eɪ", "aɪ", "ɔɪ", "oʊ", "əʊ", "aʊ", "ɪə", "eə", "ɛə", "ʊə")
VOWELS: Final = (*DIPHTHONGS, *"iyɨʉɯuɪʏʊeøɘɵɤoəɚɛœɜɝɞʌɔæɐaɶɑɒᵻᵊ", *"AIOQWY")
"""The capitals are the diphthongs of Kokoro's alphabet, in which many write what is to go between slashes."""
CONSONANTS: Final = (
    "tʃ",
    "dʒ",
    "ts",
    "dz",
    "tɕ",
    "dʑ",
    *"ʧʤʦʣʨʥ",
    *"pbtdʈɖcɟkɡqʔmɱnɳɲŋɴrɹɻɾɽʁʀfvθðszʃʒʂʐɕʑçʝxɣχħhɦlɫɬɭʎjɥwʍʋɰβɸT",
)

_SOUNDS: Final = re.compile("|".join(sorted((*STRESSES, *VOWELS, *CONSONANTS, " "), key=len, reverse=True)))
_SPELLINGS: Final = str.maketrans({"'": PRIMARY, "’": PRIMARY, "ʼ": "", ":": LONG, "g": "ɡ", "ˑ": "", "ε": "ɛ"})
# Syllables, ties, and what may be left out; aspiration and other small letters, which no voice here tells apart.
_SILENT: Final = re.compile("[.‿|()\u035c\u0361ʰʲʷˠˤⁿˡ-]")
# What tells IPA from the path of a link, as in `[our shop](/shop/)`: a stress mark, a long vowel, or a letter that no
# path has. An apostrophe is a stress mark before a word, and none within it, as in `/men's/`; ç and ø are spelling too.
_SIGN: Final = re.compile(rf"[{PRIMARY}{SECONDARY}{LONG}]|(?:^|\s)['’ʼ](?=\w)|[^\x00-\x7f'’ʼçø]")
_ACCENTED: Final = re.compile("[àáâäåèéêëìíîïòóôöùúûüýÿñšž]", re.IGNORECASE)
_RHOTIC: Final = re.compile("([əɜ])˞")


class UnknownSound(ValueError):
    """The text has a sign that stands for no sound. `sign` is that one."""

    def __init__(self, sign: str) -> None:
        super().__init__(f"{sign!r} stands for no sound of the IPA")
        self.sign = sign


def sounds_of(ipa: str) -> list[str]:
    """Returns the sounds, stress marks and spaces of a text in IPA, in its order. Raises UnknownSound.

    A sound may end with LONG, SYLLABIC or NASAL. Other diacritics are left out.
    """
    text = unicodedata.normalize("NFD", ipa.strip()).replace("c\u0327", "ç").translate(_SPELLINGS)
    text = _RHOTIC.sub(lambda match: {"ə": "ɚ", "ɜ": "ɝ"}[match[1]], _SILENT.sub("", text))
    text = "".join(char for char in text if char in (SYLLABIC, NASAL, "ç") or not unicodedata.combining(char))
    sounds: list[str] = []
    at = 0
    while at < len(text):
        if text[at] in (LONG, SYLLABIC, NASAL) and sounds and sounds[-1] not in (*STRESSES, " "):
            sounds[-1] += text[at]
            at += 1
        elif sound := _SOUNDS.match(text, at):
            sounds.append(sound[0])
            at = sound.end()
        else:
            raise UnknownSound(text[at])
    return sounds


def is_vowel(sound: str) -> bool:
    """Tells whether a sound can bear the stress."""
    return sound.rstrip(LONG + NASAL) in VOWELS or sound.endswith(SYLLABIC)


def base(sound: str) -> str:
    """Returns a sound without LONG, SYLLABIC and NASAL."""
    return sound.rstrip(LONG + NASAL + SYLLABIC)


def is_ipa(text: str) -> bool:
    """Tells whether a text can only be IPA: all of it are sounds, and some have signs that no address has."""
    if not _SIGN.search(text) or _ACCENTED.search(unicodedata.normalize("NFC", text)):
        return False
    return can_be_said(text)


def can_be_said(ipa: str) -> bool:
    """Tells whether a text in IPA is right: all of it stands for sounds, of which one is a vowel."""
    try:
        return any(is_vowel(sound) for sound in sounds_of(ipa))
    except UnknownSound:
        return False
