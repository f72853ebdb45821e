"""Spells out letters and digits, with a short rest between groups."""

from __future__ import annotations


def letters(text: str) -> str:
    """Writes letters one by one; the hyphen keeps a last "A" a letter where it could be an article."""
    return f"{'- '.join(text)}-, "


def digits(text: str) -> str:
    """Writes digits one by one; longer runs in groups of three, the last of up to four, with a short rest between."""
    groups = [text]
    while len(groups[-1]) > (5 if len(groups) == 1 else 4):
        groups[-1:] = [groups[-1][:3], groups[-1][3:]]
    return ", ".join(" ".join(group) for group in groups)
