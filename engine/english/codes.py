"""Numbers that are said digit by digit: cards, accounts, short telephone numbers, codes, postcodes, flights."""

from __future__ import annotations

import re
from typing import Final

from engine.english.rules import Rule, paired, rule
from engine.spelling import digits, letters


def _groups(match: re.Match[str]) -> str:
    """Keeps the groups of a card's number: 4111 1111 … is said "4 1 1 1, 1 1 1 1 …"."""
    return ", ".join(" ".join(group) for group in re.split(r"[ -]", match[0]))


def _account(match: re.Match[str]) -> str:
    """Says an international account number in groups of four, as it is printed."""
    flat = match[0].replace(" ", "")
    return ", ".join(" ".join(flat[start : start + 4]) for start in range(0, len(flat), 4))


def _parts(match: re.Match[str]) -> str:
    return f"{match[1]}{digits(match[2])}, {digits(match[3])}"


_AFTER: Final = r"(?:\s+(?:number|no\.?|code|id|is|was))*[\s:#]+"
_ANY_CODE: Final = rf"\b((?:pin|code|password|passcode|zip|extension|ext\.?){_AFTER})(\d{{3,}})\b(?![.,]\d)"
_LONG_CODE: Final = (
    rf"\b((?:number|no\.|id|order|ticket|reference|account|case|booking|invoice|flight){_AFTER})(\d{{5,}})\b(?![.,]\d)"
)
_NO_QUANTITY: Final = (
    r"(?=\s*(?:$|[;:!?)]|[.,](?!\d)|\s(?:and|at|back|for|from|if|immediately|in|now|on|or|right|to|when)\b))"
)
"""What follows a number that is called, and not one of people who are: "call 300 customers"."""


def _characters(match: re.Match[str]) -> str:
    """Says a serial number, a hash or a hardware address by letters and digits, in groups as it is written."""
    groups = re.split(r"[-:]", match[0])
    if len(groups) == 1:
        groups = [match[0][start : start + 4] for start in range(0, len(match[0]), 4)]
    return ", ".join(" ".join(group.upper()) for group in groups).replace("A", "A-")  # no article


def _book(match: re.Match[str]) -> str:
    return f"{match[1]} " + ", ".join(" ".join(group) for group in re.split(r"[- ]", match[2]))


def _service_code(match: re.Match[str]) -> str:
    """Says what is dialled for a service: *123# is "star 1 2 3 pound"."""
    return f"{'star' if match[1] == '*' else 'pound'} {digits(match[2])} pound"


_ROOM: Final = (
    r"\b(room|suite|ste\.?|apartment|apt\.?|unit|bus|highway|route|flight|boeing|airbus)\s+([1-9]\d{2,3})\b(?![.,]?\d)"
)
_FOURS: Final = r"\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?"

_MIXED: Final = r"(?=[A-Z\d]{0,40}\d[A-Z\d]{0,40}\d)(?=[A-Z\d]{0,40}[A-Z])[A-Z\d]{10,40}"
"""Letters and two digits at least, as in a vehicle's or a parcel's number."""
_HEX: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[a-f]{0,64}\d)(?=\d{0,64}[a-f])[0-9a-f]{12,64}"
_HARDWARE: Final = r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}"

RULES: Final[list[Rule]] = [
    rule(rf"(?<![\w-])(?:{_MIXED}|{_HEX}|{_HARDWARE})(?![\w:-])", _characters),
    rule(r"\b(ISBN(?:-1[03])?):? (\d[\d -]{8,15}[\dX])\b", _book),
    rule(r"(?<![\w*#])([*#])(\d{1,6})#(?!\w)", _service_code),
    rule(r"(?<![\w.-])([19])-1-([12])(?![\w-])", r"\1 1 \2"),
    # Australia's numbers that cost nothing, or a local call.
    rule(
        r"(?<![\w.,+-])(1[38]00) (\d{3}) (\d{3})(?![\w-]|[.,]\d)",
        lambda m: ", ".join(" ".join(group) for group in m.groups()),
    ),
    rule(r"(?<![\w+-])1-(8\d\d)-(?=[A-Z]{3})", lambda m: f"1, {'800' if m[1] == '800' else digits(m[1])}, "),
    rule(
        r"\b(code:? )(\d\d)-(\d\d)-(\d\d)(?![\w-])",
        lambda m: m[1] + ", ".join(map(digits, m.groups()[1:])),
        any_case=True,
    ),
    rule(r"\b((?:Boeing|Airbus A?) ?)?(7\d7)-(\d{1,3})\b(?!-)", lambda m: f"{m[1] or ''}{paired(m[2])} {m[3]}"),
    rule(r"\b[A-Z]{2}\d{2}(?: [A-Z0-9]{4}){3,7}(?: [A-Z0-9]{1,3})?\b", _account),
    rule(rf"(?<![\w.,-])(?:{_FOURS}|3\d{{3}}[ -]\d{{6}}[ -]\d{{5}})(?![\w-]|[.,]\d)", _groups),
    rule(
        rf"\b((?:call|dial|phone|ring|text)\s+)(\d{{3,6}})\b{_NO_QUANTITY}",
        lambda m: m[1] + digits(m[2]),
        any_case=True,
    ),
    rule(r"(?<![\w.,/$€£#-])911(?![\w/-]|[.,]\d)", "9 1 1"),
    rule(_ANY_CODE, lambda m: m[1] + digits(m[2]), any_case=True),
    rule(_LONG_CODE, lambda m: m[1] + digits(m[2]), any_case=True),
    rule(r"\b((?:case|invoice|order|reference|ticket)\s)(\d{2,6})-(\d{2,6})\b", _parts, any_case=True),
    rule(r"(?<!\w)\*(?=\d{1,4}\b)", "star "),
    # A postcode stands after the two letters of a state.
    rule(r"\b([A-Z]{2} )(\d{5})\b(?![.,-]?\d)", lambda m: m[1] + digits(m[2])),
    rule(r"\b([A-Z]{2} )(\d{5})-(\d{4})\b(?![.,]?\d)", lambda m: f"{m[1]}{digits(m[2])}, {digits(m[3])}"),
    rule(r"\b([Ff]light )([A-Z]{2}) ?(\d{2,4})\b", lambda m: f"{m[1]}{letters(m[2])}{digits(m[3])}"),
    rule(_ROOM, lambda m: f"{m[1]} {paired(m[2])}", any_case=True),
]
