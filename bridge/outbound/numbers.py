"""The allow-list of OUTBOUND_ALLOW: which numbers may be dialled."""

from __future__ import annotations

import re
from typing import Final

from bridge.number_pattern import compile_number

_NUMBER: Final = re.compile(r"\+?[0-9*#]{1,40}")


class NumberNotAllowed(Exception):
    """The number is none, or not on the list. Its text says which."""


class Numbers:
    """Numbers and patterns, written as `2??; +4930*; 0800[1-9]*`: `?` is one digit, `*` at the end any digits."""

    def __init__(self, allow: str = "") -> None:
        """Reads the list. Raises ValueError that says what is wrong."""
        self._allow = allow
        self._patterns = [compile_number(entry) for entry in filter(None, (part.strip() for part in allow.split(";")))]

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def check(self, number: str) -> None:
        """Raises NumberNotAllowed unless the number is on the list."""
        if not _NUMBER.fullmatch(number):
            raise NumberNotAllowed(f"{number[:40]!r} is no number: digits, * and #, with or without a + before them")
        if not any(pattern.fullmatch(number) for pattern in self._patterns):
            raise NumberNotAllowed(f"{number!r} is not allowed by OUTBOUND_ALLOW")
