"""Errors of libraries, told in one line."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """What an error says, without what libraries put below it; the name of its class where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
