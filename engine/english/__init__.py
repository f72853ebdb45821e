"""Rewrites English that a grammar of numbers reads in another way than a person would: streets, cards, dates, versions.

What is written here still holds digits where the grammar reads those well: "03/04/2025" becomes "March 4, 2025".
"""

from __future__ import annotations

from typing import Final

from engine.english import arithmetic, codes, dates, money, places, short_forms
from engine.english.rules import Rule

_RULES: Final[list[Rule]] = [
    *codes.RULES,
    *places.RULES,
    *dates.RULES,
    *money.RULES,
    *short_forms.RULES,
    *arithmetic.RULES,
]


def rewrite(text: str) -> str:
    """Returns `text` with every rule applied to the whole of it, in the rules' order."""
    for rule in _RULES:
        text = rule.pattern.sub(rule.written, text)
    return text
