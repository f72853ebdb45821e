"""Signs between and around numbers: comparisons, sums, powers, fractions, "10 ± 2"."""

from __future__ import annotations

import re
from typing import Final

from engine.english.rules import Rule, paired, rule

_FRACTIONS: Final = {
    "½": "1/2",
    "⅓": "1/3",
    "⅔": "2/3",
    "¼": "1/4",
    "¾": "3/4",
    "⅛": "1/8",
    "⅜": "3/8",
    "⅝": "5/8",
    "⅞": "7/8",
}
_SIGNS: Final = {
    "≥": "is greater than or equal to",
    "≤": "is less than or equal to",
    "≠": "is not equal to",
    "≈": "about",
    "±": "plus or minus",
    "×": "times",
    "÷": "divided by",
    "→": "to",
    "√": "the square root of",
    "∞": "infinity",
}
_BETWEEN_WORDS: Final = {
    ">=": "is greater than or equal to",
    "<=": "is less than or equal to",
    ">": "is greater than",
    "<": "is less than",
    "=": "equals",
    "+": "plus",
}
_RAISED: Final = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_LOWERED: Final = str.maketrans(f"{_RAISED}⁺⁻", "0123456789+-")
_POWERS: Final = {"2": "squared", "3": "cubed"}


def _power(match: re.Match[str]) -> str:
    power = match[1]
    return f" {_POWERS[power]}" if power in _POWERS else f" to the power of {power}"


def _raised(match: re.Match[str]) -> str:
    power = match[1].translate(_LOWERED)
    return f" {_POWERS[power]}" if power in _POWERS else f" to the power of {power}"


def _scientific(match: re.Match[str]) -> str:
    return f"{match[1]} times 10 to the power of {int(match[2])}"


def _fraction(match: re.Match[str]) -> str:
    return f"{match[1]} and {_FRACTIONS[match[2]]}" if match[1] else f" {_FRACTIONS[match[2]]}"


RULES: Final[list[Rule]] = [
    rule(r"(?<![\w'’])(\d)['′’](\d{1,2})(?:[\"″”]|''|’’)", r"\1 foot \2"),
    rule(r"(?<![\d.,$€£])(\d[\d.,]{0,12})k\b", r"\1 thousand"),
    rule(r"(?<=[\dA-Za-z])\+(?![\w+])", " plus"),
    rule(r"[₀-₉]", lambda m: chr(ord(m[0]) - ord("₀") + ord("0"))),
    rule(rf"(?<=[\d)])([⁺⁻]?[{_RAISED}]{{1,3}})", _raised),
    rule(rf"(?<=\b[abcnrxyzABCXYZ])([⁺⁻]?[{_RAISED}]{{1,3}})", _raised),
    rule(r"(?<![\w.,])(\d(?:\.\d{1,9})?)[eE]([+-]\d{1,3})\b", _scientific),
    rule(r"(?<![\w.,])(\d\.\d{1,9})[eE](\d{1,3})\b", _scientific),
    # Groups of three by full stops, and India's of two, are those of the grammar by commas. Four may be an address.
    rule(r"(?<![\w.,])(\d{1,3})\.(\d{3})\.(\d{3})(?![\w]|[.,]\d)", r"\1,\2,\3"),
    rule(r"(?<![\w.,])(\d{1,2}(?:,\d\d)+,\d{3})(?![\w]|[.,]\d)", lambda m: f"{int(m[1].replace(',', '')):,}"),
    rule(
        r"(?<![\w.,])([1-9]\d{2,3})\s?[x×]\s?([1-9]\d{2,3})(?!\w|[.,]\d)", lambda m: f"{paired(m[1])} by {paired(m[2])}"
    ),
    rule(r"(?<![\w:.])(\d{1,3}:\d{1,3})\s?[-–]\s?(?=\d{1,3}\b(?![:.]\d))", r"\1 to "),
    rule(r"(?<=\d)\s?\*\s?(?=\d)", " times "),
    rule(r"(?<=\d)\s?=\s?(?=-?\d)", " equals "),
    rule(r"(?<=\d)\s[-−]\s(?=\d{1,9}(?:\.\d{1,9})?\s(?:=|equals)\s)", " minus "),
    rule(r"(?<=\d)\s?‰", " per mille"),
    rule(r"(?<![\d:])(\d{1,3}):(\d)(?![\d:])", r"\1 to \2"),
    rule(r"(?<=\d)°(?=\s(?:angle|turn)\b)", " degree"),
    rule(r"(?m)^\s*(\d{1,3}|[a-z])\)\s", r"\1, "),
    rule(r"(?<=\d)\s?[xX]\b(?!\s?\d)", " times"),
    rule(r"(?<=\d)(%?)\s?–\s?(?=\d)", r"\1 to "),
    rule(r"(?<=\d%)\s?-\s?(?=\d)", " to "),
    rule(r"(?<=\w)\s?\^\s?(-?\d{1,3})\b", _power),
    rule(rf"(?<=\w)\s({'|'.join(map(re.escape, _BETWEEN_WORDS))})\s(?=[\w-])", lambda m: f" {_BETWEEN_WORDS[m[1]]} "),
    rule(r"(?<=\d)([<>])(?=\d)", lambda m: f" {_BETWEEN_WORDS[m[1]]} "),
    rule(r"(?<!\w)~\s?(?=[\d$€£])", "about "),
    rule(rf"(\d)?\s?([{''.join(_FRACTIONS)}])", _fraction),
    rule(rf"\s?([{''.join(_SIGNS)}])\s?", lambda m: f" {_SIGNS[m[1]]} "),
]
