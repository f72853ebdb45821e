"""Spells the IPA as English would, for engines that take no sounds: `/ˈwʊstər/` becomes "wooster"."""

from __future__ import annotations

from typing import Final

from engine.ipa import LONG, NASAL, STRESSES, SYLLABIC, base, is_vowel, sounds_of

_CONSONANTS: Final[dict[str, str]] = {
    **{sound: sound for sound in "pbtdkfvszhlmnw"},
    "ɡ": "g", "ŋ": "ng", "θ": "th", "ð": "th", "ʃ": "sh", "ʒ": "zh", "ʧ": "ch", "tʃ": "ch", "ʤ": "j", "dʒ": "j",
    "ɹ": "r", "r": "r", "ɻ": "r", "ɽ": "r", "ʁ": "r", "ʀ": "r", "ɾ": "t", "T": "t", "j": "y", "ʎ": "ly", "ɲ": "ny",
    "ts": "ts", "ʦ": "ts", "dz": "dz", "ʣ": "dz", "tɕ": "ch", "ʨ": "ch", "dʑ": "j", "ʥ": "j", "x": "kh", "χ": "kh",
    "ç": "sh", "ʝ": "y", "ɣ": "g", "ħ": "h", "ɦ": "h", "ʂ": "sh", "ɕ": "sh", "ʐ": "zh", "ʑ": "zh", "ʈ": "t", "ɖ": "d",
    "c": "k", "ɟ": "g", "q": "k", "ʔ": "", "ɱ": "m", "ɳ": "n", "ɴ": "ng", "ɫ": "l", "ɬ": "l", "ɭ": "l", "ʍ": "wh",
    "ɥ": "w", "ʋ": "v", "ɰ": "w", "β": "v", "ɸ": "f",
}  # fmt: skip
_VOWELS: Final[dict[str, str]] = {
    "i": "ee", "ɪ": "i", "e": "e", "ɛ": "e", "æ": "a", "a": "ah", "ɑ": "ah", "ɒ": "o", "ɔ": "aw", "o": "oh", "ʊ": "oo",
    "u": "oo", "ʌ": "u", "ə": "a", "ɐ": "a", "ɚ": "er", "ɜ": "ur", "ɝ": "ur", "ɞ": "ur", "ø": "ur", "œ": "ur",
    "eɪ": "ay", "A": "ay", "aɪ": "igh", "I": "igh", "ɔɪ": "oy", "Y": "oy", "oʊ": "oh", "əʊ": "oh", "O": "oh", "Q": "oh",
    "aʊ": "ow", "W": "ow", "ɪə": "eea", "eə": "air", "ɛə": "air", "ʊə": "oor", "y": "oo", "ʏ": "oo", "ʉ": "oo",
    "ɯ": "oo", "ɨ": "i", "ᵻ": "i", "ᵊ": "e", "ɘ": "a", "ɵ": "oo", "ɤ": "u", "ɶ": "a",
}  # fmt: skip
_CLOSED: Final = {
    ("ə", "ɹ"): "e", ("ə", "r"): "e", ("ə", "l"): "e", ("ə", "n"): "e", ("ə", "t"): "i", ("ɔ", "ɹ"): "o",
    ("ɔ", "r"): "o", ("ɑ", "ɹ"): "a", ("ɑ", "r"): "a", ("ɛ", "ɹ"): "ai", ("ɛ", "r"): "ai", ("ɪ", "ɹ"): "ee",
    ("ɪ", "r"): "ee", ("i", " "): "y", ("ɜ", "ɹ"): "u", ("ɜ", "r"): "u",
}  # fmt: skip
"""Vowels that are spelled otherwise before these sounds."""


def respelled(ipa: str) -> str:
    """Returns the IPA in English spelling, in small letters. Raises UnknownSound."""
    sounds = [sound for sound in sounds_of(ipa) if sound not in STRESSES]
    spelled = ""
    for place, sound in enumerate(sounds):
        following = base(sounds[place + 1]) if place + 1 < len(sounds) else " "
        spelled += _spelled(sound, following)
        if sound == "s" and spelled[-2:-1] in tuple("aeiouy") and (following == " " or is_vowel(following)):
            spelled += "s"  # a single one is read as a z
    return spelled.replace("rr", "r").strip()


def _spelled(sound: str, following: str) -> str:
    plain = base(sound)
    if plain == " ":
        return " "
    if plain in _CONSONANTS:
        return f"u{_CONSONANTS[plain]}" if SYLLABIC in sound else _CONSONANTS[plain]
    vowel = _CLOSED.get((plain, following)) or _VOWELS[plain]
    if plain == "e" and (LONG in sound or not following.strip() or is_vowel(following)):
        vowel = "ay"
    if NASAL in sound:
        return vowel + "n"
    return vowel
