"""Streets, saints and doctors: "Dr." is a drive after a street's name, and "St." a saint before a name."""

from __future__ import annotations

from typing import Final

from engine.english.rules import NAME, ORDINAL, Rule, any_of, paired, rule

_STREETS: Final = {
    "Ave": "Avenue",
    "Blvd": "Boulevard",
    "Cir": "Circle",
    "Ct": "Court",
    "Hwy": "Highway",
    "Ln": "Lane",
    "Pkwy": "Parkway",
    "Pl": "Place",
    "Rd": "Road",
    "Sq": "Square",
    "Ter": "Terrace",
}
_QUARTERS: Final = {
    "N": "North",
    "S": "South",
    "E": "East",
    "W": "West",
    "NE": "Northeast",
    "NW": "Northwest",
    "SE": "Southeast",
    "SW": "Southwest",
}
_STARTERS: Final = any_of(
    (
        *("A", "An", "And", "As", "Ask", "At", "But", "By", "Call", "For", "From", "Her", "His", "If", "In", "Is"),
        *("Fort", "Mount", "Mt", "My", "Near", "Of", "On", "Or", "Our", "Port", "See", "That", "The", "To", "Visit"),
        *("We", "With"),
    )
)
"""Words that may have a capital letter before "St. Paul" or "Dr." without being a street's name."""
_STOP: Final = r"(?:\.(?=\s[a-z\d(]|[,;:!?]))?"
"""The full stop of a short form, where the sentence goes on. At a sentence's end it stays."""
_STREET: Final = rf"(?:Street|Drive|{any_of(_STREETS.values())})\b"
_NAMED: Final = rf"(?:{NAME}|{ORDINAL})"

RULES: Final[list[Rule]] = [
    rule(rf"(?<!\w)(\d[\w-]{{0,6}}\s(?:{NAME}\s){{1,3}})Dr\b{_STOP}", r"\1Drive"),
    rule(rf"\b(?!(?:{_STARTERS})\s)({_NAMED})\sDr\b(?!\.?\s{NAME}){_STOP}", r"\1 Drive"),
    rule(r"\bDr\b\.?", "doctor"),
    rule(rf"\b(?!(?:{_STARTERS})\s)({_NAMED})\sSt\b{_STOP}", r"\1 Street"),
    rule(rf"\bSt\.?(?=\s{NAME})", "Saint"),
    rule(r"\b(Apt|Ste)\s(?=#?\d)", lambda m: "apartment " if m[1] == "Apt" else "suite "),
    rule(rf"\b({ORDINAL})/(?={ORDINAL}\b)", r"\1 or "),
    rule(rf"\b({ORDINAL})[-–](?={ORDINAL}\b)", r"\1 to "),
    rule(rf"\b({ORDINAL})-(?=[a-z])", r"\1 "),
    rule(rf"\b({_NAMED})\s({any_of(_STREETS)})\b{_STOP}", lambda m: f"{m[1]} {_STREETS[m[2]]}"),
    rule(
        rf"\b({any_of(_QUARTERS)})\b\.?\s(?={_NAMED}\s{_STREET})",
        lambda m: f"{_QUARTERS[m[1]]} ",
    ),
    rule(rf"(?<![\w.,-])([1-9]\d{{2,3}})(?=[A-Z]?\s(?:{_NAMED}\s){{1,3}}{_STREET})", lambda m: paired(m[1])),
]
