"""Turns the errors of libraries into one line of text."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's text; the name of its class where the text is empty."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
