"""Sums of money: the sign goes first, as the grammar wants it."""

from __future__ import annotations

import re
from typing import Final

from engine.english.rules import Rule, any_of, rule

_CURRENCIES: Final = {
    "USD": "$",
    "EUR": "€",
    "GBP": "£",
    "JPY": "¥",
    "INR": "₹",
    "CAD": "Canadian dollars",
    "AUD": "Australian dollars",
    "NZD": "New Zealand dollars",
    "CHF": "Swiss francs",
    "SEK": "Swedish kronor",
    "NOK": "Norwegian kroner",
    "DKK": "Danish kroner",
    "CNY": "yuan",
    "MXN": "Mexican pesos",
}
_DOLLARS: Final = {
    "A": "Australian",
    "AU": "Australian",
    "C": "Canadian",
    "CA": "Canadian",
    "HK": "Hong Kong",
    "NZ": "New Zealand",
    "S": "Singapore",
}
_PRICED: Final = (
    "bill|charge|coin|coupon|credit|deal|deposit|discount|donation|fee|fine|gift|limit|minimum|note|ticket|voucher"
)
"""What has a price before it: "a $5 fee" is said "a five dollar fee"."""
_AMOUNT: Final = r"\d[\d,]{0,20}(?:\.\d{1,9})?"


def _sum(amount: str, code: str) -> str:
    currency = _CURRENCIES[code]
    return currency + amount if len(currency) == 1 else f"{amount.removesuffix('.00')} {currency}"


def _continental(match: re.Match[str]) -> str:
    """Turns "1.234,56 €" into "€1234.56"; a number without a currency stays."""
    sign = match[1] or match[3]
    if not sign:
        return match[0]
    whole, cents = match[2].split(",")
    return f"{sign}{whole.replace('.', '')}.{cents}"


RULES: Final[list[Rule]] = [
    rule(
        rf"\b({any_of(_DOLLARS)})\$({_AMOUNT})(?![\d,])",
        lambda m: f"{m[2].removesuffix('.00')} {_DOLLARS[m[1]]} dollars",
    ),
    rule(rf"₿\s?({_AMOUNT})(?![\d,])", r"\1 bitcoin"),
    rule(rf"(?<![\w.,])({_AMOUNT})\s?({any_of(_CURRENCIES)})\b", lambda m: _sum(m[1], m[2])),
    rule(rf"\b({any_of(_CURRENCIES)})\s?({_AMOUNT})(?![\d,])", lambda m: _sum(m[2], m[1])),
    rule(
        r"(?<![\w.,])(?:([€£$])\s?)?((?:\d{1,3}(?:\.\d{3}){1,4}|\d{1,9}),\d\d)(?![\d,.]*\d)(?:\s?([€£]))?", _continental
    ),
    rule(rf"(?<![\w.,])({_AMOUNT})\s?([€$£¥₹])(?!\w)", r"\2\1"),
    rule(rf"([$€£])({_AMOUNT})\s?[-–]\s?\1?(?={_AMOUNT})", r"\2 to \1"),
    rule(r"(?<=\d)\s?¢", " cents"),
    rule(r"(?<!\w)[-−](?=[$€£]\d)", "minus "),
    rule(rf"\$(\d[\d,]{{0,9}})(?=[ -](?:{_PRICED})\b)", r"\1 dollar"),
]
