"""Patterns of telephone numbers, as administrators write them: `2??`, `+4930*`, `0800[1-9]*`."""

from __future__ import annotations

import re
from typing import Final

_PATTERN: Final = re.compile(r"\+?(?:[0-9*#?]|\[[0-9-]+\]){1,40}")


def compile_number(pattern: str) -> re.Pattern[str]:
    """Returns the pattern as a regular expression: `?` is one digit, `*` at the end any digits. Raises ValueError."""
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
