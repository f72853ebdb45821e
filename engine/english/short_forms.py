"""Titles, units and other words that are written in short, and names with signs in them."""

from __future__ import annotations

import re
from typing import Final

from engine.english.rules import Rule, any_of, rule

_TITLES: Final = {
    "Capt": "Captain",
    "Ft": "Fort",
    "Gen": "General",
    "Gov": "Governor",
    "Hon": "Honorable",
    "Lt": "Lieutenant",
    "Rep": "Representative",
    "Rev": "Reverend",
    "Sen": "Senator",
    "Sgt": "Sergeant",
}
_WORDS: Final = {
    "apt": "apartment",
    "assn": "association",
    "dept": "department",
    "est": "established",
    "ext": "extension",
    "fig": "figure",
    "incl": "including",
    "max": "maximum",
    "min": "minimum",
    "pp": "pages",
    "ste": "suite",
    "tel": "telephone",
    "vol": "volume",
}
_UNITS: Final = {
    "L": "liter",
    "ft": "foot",
    "gal": "gallon",
    "in": "inch",
    "sq ft": "square foot",
    "tbsp": "tablespoon",
    "tsp": "teaspoon",
    "yd": "yard",
    "yr": "year",
    "yrs": "year",
}
_MANY: Final = {"foot": "feet", "inch": "inches", "square foot": "square feet"}
_FIRMS: Final = {"Co": "Company", "Corp": "Corporation", "Inc": "Incorporated", "Ltd": "Limited"}
_STROKES: Final = {
    "a/c": "A C",
    "and/or": "and or",
    "c/o": "care of",
    "he/she": "he or she",
    "him/her": "him or her",
    "his/her": "his or her",
    "n/a": "not available",
    "she/he": "she or he",
    "w/o": "without",
    "yes/no": "yes or no",
}
_ROMAN: Final = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}


def _unit(match: re.Match[str]) -> str:
    """Says "1 foot", and "2 feet"."""
    unit = _UNITS[match[2]]
    return f"{match[1]} {unit if match[1] == '1' else _MANY.get(unit, unit + 's')}"


def _roman(match: re.Match[str]) -> str:
    values = [_ROMAN[letter] for letter in match[2]]
    number = sum(-value if value < later else value for value, later in zip(values, [*values[1:], 0], strict=True))
    return f"{match[1]} {number}"


_AMOUNT: Final = r"(?<![\d.,])(\d[\d.,]{0,20})\s?"

RULES: Final[list[Rule]] = [
    rule(rf"\b({any_of(_TITLES)})\.(?=\s[A-Z])", lambda m: _TITLES[m[1]]),
    rule(r"\bP\.\s?O\.(?=\sBox)", "P O", any_case=True),
    rule(rf"\b({any_of(_WORDS)})\.(?=\s*(?:\d|of\b|for\b))", lambda m: _WORDS[m[1].lower()], any_case=True),
    rule(rf"{_AMOUNT}({any_of(_UNITS)})\.(?=\s+[a-z\d]|[,;:!?])", _unit),
    # Without a full stop, "in" is a word.
    rule(rf"{_AMOUNT}({any_of(_UNITS.keys() - {'in'})})\b", _unit),
    rule(rf"(?<=\w\s)({any_of(_FIRMS)})\.(?=\s[a-z]|[,;:!?])", lambda m: _FIRMS[m[1]]),
    rule(rf"(?<![\w/])({any_of(_STROKES)})(?![\w/])", lambda m: _STROKES[m[1].lower()], any_case=True),
    rule(
        r"\b(Act|Appendix|Article|Bowl|Chapter|Part|Phase|Scene|Section|Type|Volume) "
        r"((?=[IVXL])(?:XC|XL|LX{0,3}|X{1,3})?(?:IX|IV|VI{0,3}|I{1,3})?)(?!\w)",
        _roman,
    ),
    rule(r"\b([CF])#(?!\w)", r"\1 sharp"),
    rule(r"\bC\+\+", "C plus plus"),
    rule(r"(?<!\w)\.NET\b", "dot net"),
    rule(r"\bAT&T\b", "A T and T"),
    rule(r"\s?&{1,2}\s?(?=\w)", " and "),
    rule(r"(?<=\s)@(?=\s|[A-Za-z])", "at "),
    rule(r"#(?=[A-Za-z]{2,40}\b(?!-?\d))", "hashtag "),
    rule(
        r"\b(?:version\s)?v(\d+(?:\.\d+){0,4})\b(?![.,]?\w)",
        lambda m: "version " + " point ".join(m[1].split(".")),
        any_case=True,
    ),
    rule(r"#(?=\d{1,2}\b)", "number "),
]
