"""Writes what an SSML `say-as` encloses so that it is read as its author asked for."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Final

from engine.spelling import digits, letters

# How a number is marked as an ordinal, so that the grammar of the language reads it as one.
_ORDINAL_MARKS: Final = {"de": ".", "es": ".º", "fr": "e", "it": "º"}
_ENGLISH_MARKS: Final = {1: "st", 2: "nd", 3: "rd"}
_RUN: Final = re.compile(r"[^\W\d_]+|\d+")


def say_as(text: str, kind: str, form: str = "", language: str = "en") -> str:
    """Returns the text as `interpret-as` and `format` want it read; an unknown kind leaves it as it is."""
    say = _KINDS.get(kind.lower())
    return say(text, form.lower(), language[:2].lower()) if say else text


def _characters(text: str, form: str, language: str) -> str:
    runs = (digits(run) if run[0].isdigit() else letters(run.upper()) for run in _RUN.findall(text))
    return " ".join(run.strip() for run in runs).rstrip(",-") or text


def _digits(text: str, form: str, language: str) -> str:
    return digits(found) if (found := re.sub(r"\D", "", text)) else text


def _telephone(text: str, form: str, language: str) -> str:
    groups = ", ".join(digits(group) for group in re.findall(r"\d+", text))
    return f"plus {groups}" if groups and text.lstrip().startswith("+") else groups or text


def _date(text: str, form: str, language: str) -> str:
    """Returns a date in digits, whose order the format tells, in the one form that every grammar knows."""
    parts = re.findall(r"\d{1,4}", text)
    if sorted(form) != ["d", "m", "y"] or len(parts) != 3:
        return text
    told = dict(zip(form, map(int, parts), strict=True))
    try:
        return dt.date(told["y"] + (2000 if told["y"] < 100 else 0), told["m"], told["d"]).isoformat()
    except ValueError:
        return text


def _ordinal(text: str, form: str, language: str) -> str:
    if not (number := re.fullmatch(r"\s*(\d{1,9})\D*", text)):
        return text
    if language != "en":
        return number[1] + _ORDINAL_MARKS.get(language, "")
    value = int(number[1])
    is_teen = value // 10 % 10 == 1
    return f"{value}{'th' if is_teen else _ENGLISH_MARKS.get(value % 10, 'th')}"


def _cardinal(text: str, form: str, language: str) -> str:
    """Returns a number so that it is no code or year: 911 is `9 hundred 11`, 1984 is `1,984`."""
    number = re.fullmatch(r"\s*(\d{1,15})\s*", text.replace(",", ""))
    if not number or language != "en":
        return text
    value = int(number[1])
    if not 100 < value < 1000 or value % 100 == 0:
        return f"{value:,}"
    return f"{value // 100} hundred {value % 100}"


_KINDS: Final[dict[str, Callable[[str, str, str], str]]] = {
    "characters": _characters,
    "spell-out": _characters,
    "verbatim": _characters,
    "digits": _digits,
    "telephone": _telephone,
    "date": _date,
    "ordinal": _ordinal,
    "cardinal": _cardinal,
    "number": _cardinal,
}
