"""Titles, units and other words that are written in short, and names with signs in them."""

from __future__ import annotations

import re
from typing import Final

from engine.english.rules import Rule, any_of, paired, rule

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
    "ca": "circa",
    "ch": "chapter",
    "assn": "association",
    "dept": "department",
    "est": "established",
    "ext": "extension",
    "fig": "figure",
    "incl": "including",
    "max": "maximum",
    "min": "minimum",
    "p": "page",
    "pp": "pages",
    "ste": "suite",
    "tel": "telephone",
    "vol": "volume",
}
_UNITS: Final = {
    "GB/s": "gigabytes per second",
    "L": "liter",
    "MB/s": "megabytes per second",
    "dB": "decibels",
    "fps": "frames per second",
    "kΩ": "kilohms",
    "mL": "milliliter",
    "mcg": "microgram",
    "mg/kg": "milligrams per kilogram",
    "µg": "microgram",
    "μg": "microgram",
    "Ω": "ohm",
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
_IS_MANY: Final = re.compile(r"s$|s per ")
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
    return f"{match[1]} {unit if match[1] == '1' or _IS_MANY.search(unit) else _MANY.get(unit, unit + 's')}"


def _roman(match: re.Match[str]) -> str:
    values = [_ROMAN[letter] for letter in match[2]]
    number = sum(-value if value < later else value for value, later in zip(values, [*values[1:], 0], strict=True))
    return f"{match[1]} {number}"


def _stars(match: re.Match[str]) -> str:
    return f"{len(match[1])} out of {len(match[1] + match[2])} stars" if match[2] else f"{len(match[1])} stars"


_PICTURES: Final = r"(?<!\w)(480|576|720|1080|1440|2160)([pi])\b"
"""The lines of a picture, which would be pence."""
_REGNAL: Final = r"\b((?:Charles|Edward|George|Henry|James|Louis|Philip) )(V|X)\b(?![.’'])"
_SCREEN: Final = r"(?=[-\s]+(?:display|laptop|monitor|screen|tv|wheel|wide|tall|long|deep|thick|x|by)\b)"

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
    rule(r"\bWW(II?)\b", lambda m: f"World War {len(m[1])}"),
    rule(_REGNAL, lambda m: f"{m[1]}the {5 if m[2] == 'V' else 10}th"),
    rule(r"\b((?:and|or|to) |, )(II|III)\b(?!\.\w)", lambda m: f"{m[1]}{len(m[2])}"),
    rule(_PICTURES, lambda m: f"{paired(m[1])} {m[2].upper()}"),
    rule(r"(?<![\w.,'’′])(\d{1,3}(?:\.\d)?)\s?\"\sx\s(\d{1,3}(?:\.\d)?)\s?\"", r"\1 by \2 inch", any_case=True),
    rule(r"(?<![\w.,'’′])(\d{1,3}(?:\.\d)?)\s?(?:″|\"" + _SCREEN + ")", r"\1 inch", any_case=True),
    rule(r"(?<!\w)w/(?=\s)", "with"),
    rule(r"(?<=\d)(\s?[a-z]{2,8})/(?=(?:day|week|month|year)\b)", r"\1 per "),
    rule(r"(?<=\b[A-Z]\d)-(?=[A-Z]\d\b)", " "),
    rule(r"(?<![\w.,-])(\d{1,2})-(?=[A-Z]\b)", r"\1 "),
    rule(r"(?<!\S)[:;=]-?[()DPp](?!\w)", ""),
    rule(r"(?<!\S)(★{1,5})(☆{0,4})(?!\S)", _stars),
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
