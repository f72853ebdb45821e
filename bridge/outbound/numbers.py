"""The allow-list of OUTBOUND_ALLOW: which numbers may be dialled."""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = re.compile(r"\+?[0-9*#]{1,40}")
_PATTERN: Final = re.compile(r"\+?(?:[0-9*#?]|\[[0-9-]+\]){1,40}")


class NumberNotAllowed(Exception):
    """The number is none, or not on the list. Its text says which."""


class Numbers:
    """Numbers and patterns, written as `2??; +4930*; 0800[1-9]*`: `?` is one digit, `*` at the end any digits."""

    def __init__(self, allow: str = "") -> None:
        """Reads the list. Raises ValueError that says what is wrong."""
        self._allow = allow
        self._patterns = [_compile(entry) for entry in filter(None, (part.strip() for part in allow.split(";")))]

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def check(self, number: str) -> None:
        """Raises NumberNotAllowed unless the number is on the list."""
        if not _NUMBER.fullmatch(number):
            raise NumberNotAllowed(f"{number[:40]!r} is no number: digits, * and #, with or without a + before them")
        if not any(pattern.fullmatch(number) for pattern in self._patterns):
            raise NumberNotAllowed(f"{number!r} is not allowed by OUTBOUND_ALLOW")


def _compile(pattern: str) -> re.Pattern[str]:
    if not _PATTERN.fullmatch(pattern):
        raise ValueError(f"{pattern!r} is no number or pattern such as 2?? or +4930*")
    open_end = pattern.endswith("*") and pattern != "*"
    body = pattern[:-1] if open_end else pattern
    parts = re.findall(r"\[[0-9-]+\]|.", body)
    written = "".join("[0-9]" if part == "?" else part if part.startswith("[") else re.escape(part) for part in parts)
    try:
        return re.compile(written + ("[0-9]*" if open_end else ""), re.ASCII)
    except re.error as error:
        raise ValueError(f"{pattern!r}: {error}") from None
