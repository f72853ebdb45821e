"""Writes the IPA in hibari's alphabet, that of American English in Kokoro's spelling."""

from __future__ import annotations

import re
from typing import Final

from engine.ipa import LONG, NASAL, PRIMARY, STRESSES, SYLLABIC, base, can_be_said, is_vowel, sounds_of

# Sounds that English lacks become those that its speakers put in their place.
_SOUNDS: Final[dict[str, str]] = {
    **{sound: sound for sound in "bdfhjklmnpstvwzæðŋɑɔəɛɜɡɪɹʃʊʌʒθʤʧiuAIOWYTᵊᵻ"},
    "eɪ": "A", "aɪ": "I", "ɔɪ": "Y", "oʊ": "O", "əʊ": "O", "aʊ": "W", "ɪə": "iə", "eə": "ɛɹ", "ɛə": "ɛɹ", "ʊə": "ʊɹ",
    "Q": "O", "o": "O", "ɒ": "ɑ", "a": "ɑ", "e": "ɛ", "ɐ": "ə", "ɚ": "əɹ", "ɝ": "ɜɹ", "ɞ": "ɜɹ", "ø": "ɜɹ", "œ": "ɜɹ",
    "y": "u", "ʏ": "ʊ", "ʉ": "u", "ɯ": "u", "ɨ": "ᵻ", "ɘ": "ə", "ɵ": "ʊ", "ɤ": "ʌ", "ɶ": "æ",
    "tʃ": "ʧ", "dʒ": "ʤ", "tɕ": "ʧ", "dʑ": "ʤ", "ʨ": "ʧ", "ʥ": "ʤ", "ts": "ts", "dz": "dz", "ʦ": "ts", "ʣ": "dz",
    "r": "ɹ", "ɻ": "ɹ", "ɽ": "ɹ", "ʁ": "ɹ", "ʀ": "ɹ", "ɾ": "T", "ɱ": "m", "ɳ": "n", "ɴ": "ŋ", "ɲ": "nj", "ʎ": "lj",
    "ɫ": "l", "ɬ": "l", "ɭ": "l", "ʍ": "w", "ɥ": "w", "ʋ": "v", "ɰ": "w", "β": "v", "ɸ": "f", "x": "k", "χ": "k",
    "ç": "ʃ", "ʝ": "j", "ɣ": "ɡ", "ħ": "h", "ɦ": "h", "ʂ": "ʃ", "ɕ": "ʃ", "ʐ": "ʒ", "ʑ": "ʒ", "ʈ": "t", "ɖ": "d",
    "c": "k", "ɟ": "ɡ", "q": "k", "ʔ": "",
}  # fmt: skip
_NASALS: Final = {"ɛ": "æn", "œ": "ʌn"}
_WEAK: Final = "əᵊᵻ"
_LINK: Final = re.compile(r"\[([^\[\]]*)\]\(/([^/()]*)/\)('s|’s)?")
_NO_LETTER: Final = re.compile(r"[^A-Za-z]+")


def with_phonemes(text: str) -> str:
    """Returns a text with each `[word](/IPA/)` in hibari's alphabet; an `'s` behind it becomes one of its sounds."""
    return _LINK.sub(_with_phonemes, text)


def without_phonemes(text: str) -> str:
    """Returns a text with the word alone of each `[word](/IPA/)`."""
    return _LINK.sub(lambda link: link[1] + (link[3] or ""), text)


def phonemes_of(ipa: str) -> str:
    """Returns the IPA in hibari's alphabet, in which the stress stands right before its vowel. Raises UnknownSound.

    A word without a stress mark gets one on its first vowel, for dictionaries leave out that of a single syllable.
    """
    sounds = sounds_of(ipa)
    is_marked = any(sound in STRESSES for sound in sounds)
    written, stress = "", "" if is_marked else PRIMARY
    for place, sound in enumerate(sounds):
        if sound in STRESSES:
            stress = sound
            continue
        following = sounds[place + 1] if place + 1 < len(sounds) else " "
        phoneme = _phoneme(sound, ends=not base(following).strip() or following in STRESSES or is_vowel(following))
        if stress and is_vowel(sound) and (is_marked or phoneme[0] not in _WEAK):
            written, stress = written + stress, ""
        if phoneme == "ɜ" and base(following) not in ("ɹ", "r"):
            phoneme = "ɜɹ"
        if not (phoneme == "ɹ" and written.endswith("ɹ")):
            written += phoneme
    return written


def _phoneme(sound: str, ends: bool) -> str:
    """Returns one sound in hibari's alphabet; `ends` says that its syllable ends with it."""
    plain = base(sound)
    if plain == " ":
        return " "
    written = _SOUNDS[plain]
    if plain == "e" and (LONG in sound or ends):
        written = "A"
    if NASAL in sound:
        return _NASALS.get(plain, written + "n")
    return f"ᵊ{written}" if SYLLABIC in sound else written


def _with_phonemes(link: re.Match[str]) -> str:
    if not can_be_said(link[2]):
        return link[1] + (link[3] or "")
    return f"[{_NO_LETTER.sub('', link[1]) or 'it'}](/{_inflected(link)}/)"


def _inflected(link: re.Match[str]) -> str:
    phonemes = phonemes_of(link[2])
    if not link[3]:
        return phonemes
    if phonemes[-1:] in tuple("szʃʒʧʤ"):
        return phonemes + "ᵻz"
    return phonemes + ("s" if phonemes[-1:] in tuple("ptkfθ") else "z")
