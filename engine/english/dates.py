"""Days, dates and times."""

from __future__ import annotations

import re
from typing import Final

from engine.english.rules import Rule, rule

_MONTHS: Final = "January February March April May June July August September October November December".split()  # noqa: SIM905
_DAYS: Final = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()  # noqa: SIM905
_MONTH_FORMS: Final = {name[:3].lower(): name for name in _MONTHS} | {"sept": "September"}
_DAY_FORMS: Final = {name[:3].lower(): name for name in _DAYS} | {
    "tues": "Tuesday",
    "weds": "Wednesday",
    "thur": "Thursday",
    "thurs": "Thursday",
}
_FRACTIONS_OF: Final = {2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 32, 64, 100}
"""The denominators of fractions that are written with a stroke."""
_TIME_WORD: Final = r"(?:after|before|by|due|from|on|since|through|until)\s"
_HALF: Final = r"(\s?[ap]\.?m\.?)?"


def _span(forms: dict[str, str]) -> Rule:
    """Returns the rule of "Mon-Fri" and its like. A day alone stays: "Sun" and "Sat" are words."""
    names = "|".join(sorted(forms, key=len, reverse=True))

    def written(match: re.Match[str]) -> str:
        between = "and" if match[2] in "&/" else "to"
        return f"{forms[match[1].lower()]} {between} {forms[match[3].lower()]}"

    return rule(rf"\b({names})\.?\s?([-–—/&])\s?({names})\b(?:\.(?=\s[a-z\d]))?", written, any_case=True)


def _date(match: re.Match[str]) -> str:
    month, day, year = int(match[1]), int(match[2]), match[3]
    if month > 12:
        month, day = day, month
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match[0]
    if len(year) == 2:
        year = f"20{year}" if int(year) < 50 else f"19{year}"
    return f"{_MONTHS[month - 1]} {day}, {year}"


def _short_year(match: re.Match[str]) -> str:
    return f"oh {match[1][1]}" if match[1][0] == "0" else match[1]


def _day_after_name(match: re.Match[str]) -> str:
    month, day = int(match[2]), int(match[3])
    return f"{match[1]}{_MONTHS[month - 1]} {day}" if 1 <= month <= 12 and 1 <= day <= 31 else match[0]


def _day_or_fraction(match: re.Match[str]) -> str:
    """Says a/b as a day after a word of time, and where no fraction is written so."""
    month, day = int(match[2]), int(match[3])
    if 1 <= month <= 12 and 1 <= day <= 31 and (match[1] or day not in _FRACTIONS_OF):
        return f"{match[1] or ''}{_MONTHS[month - 1]} {day}"
    return match[0] if day in _FRACTIONS_OF else f"{month} over {day}"


_SHORT_MONTH: Final = "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec"

RULES: Final[list[Rule]] = [
    _span(_DAY_FORMS),
    _span(_MONTH_FORMS),
    rule(
        rf"\b(Mon|Tue|Tues|Wed|Weds|Thu|Thur|Thurs|Fri|Sat|Sun)\b\.?(?=,?\s(?:{_SHORT_MONTH}|May|\d{{1,2}}(?:st|nd|rd|th)?)\b)",
        lambda m: _DAY_FORMS[m[1].lower()],
    ),
    rule(rf"\b({_SHORT_MONTH})\.(?=\s[a-z\d]|[,;:!?])", lambda m: _MONTH_FORMS[m[1].lower()]),
    rule(r"\bM[-–]F\b(?=,?\s\d)", "Monday to Friday"),
    rule(r"(?<![\w/])9/11(?![\w/])", "9 11"),
    rule(r"(?<![\w/])(50|20)/\1(?![\w/])", r"\1 \1"),  # chances, and good eyes
    rule(r"(?<![\w/])24[/x]7(?![\w/])", "24 7"),
    # With a clock's time after it, or the parts of a day in another order than the grammar knows.
    rule(r"\b(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::\d\d(?:\.\d{1,9})?)?(?:Z\b)?(?![\d:])", r"\1 at \2"),
    rule(r"(?<![\w.])(\d{4})\.(\d\d)\.(\d\d)(?![\w.]*\d)", r"\1-\2-\3"),
    rule(r"(?<![\w/-])(\d{1,2})-(\d{1,2})-(\d{4})(?![\w/-])", _date),
    rule(r"(?<![\w/])((?:19|20)\d\d)/(\d\d)(?![\w/])", r"\1 \2"),
    rule(r"(?<![\w'’])['’](\d\d)(?![\w'’])", _short_year),
    rule(
        r"\b(Jan|Feb|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec)(?=\s(?:19|20)\d\d\b)", lambda m: _MONTH_FORMS[m[1].lower()]
    ),
    rule(rf"\b((?:{'|'.join(_DAYS)}),?\s)(\d{{1,2}})/(\d{{1,2}})(?![\w/]|[.,]\d)", _day_after_name),
    rule(r"(?<![\w/])(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})(?![\w/])", _date),
    rule(rf"\b({_TIME_WORD})?(?<![\w/.,])(\d{{1,2}})/(\d{{1,2}})(?![\w/]|[.,]\d)", _day_or_fraction, any_case=True),
    rule(rf"(?<=\d){_HALF}\s?[–-]\s?(?=\d{{1,2}}:\d\d)", r"\1 to ", any_case=True),
    rule(r"\b(noon|midnight)\s?[–-]\s?(?=\d)", r"\1 to ", any_case=True),
    rule(rf"(?<=\d){_HALF}\s?[–-]\s?(?=(?:noon|midnight)\b)", r"\1 to ", any_case=True),
    rule(r"(?<![\w:-])(\d{1,2})\s?[–-]\s?(?=\d{1,2}\s?[ap]\.?m\b)", r"\1 to ", any_case=True),
    rule(r"(?<![\w:])00?:(?!00)([0-5]\d)(?![\w:]|\s?[ap]\.?m)", r"12:\1 am", any_case=True),
    rule(r"(?<![\w:])24:00(?![\w:])", "midnight"),
    rule(r"(?<!\w)0(\d)00 (?=hours\b)", r"oh \1 hundred "),
    rule(r"\b(GMT|UTC)\s?([+-])\s?(?=\d{1,2}\b)", lambda m: f"{m[1]} {'plus' if m[2] == '+' else 'minus'} "),
    rule(
        r"(?<![\w:])(1[3-9]|2[0-3]):([0-5]\d)(?![\w:]|\s?[ap]\.?m)",
        lambda m: f"{int(m[1]) - 12}:{m[2]} pm",
        any_case=True,
    ),
]
