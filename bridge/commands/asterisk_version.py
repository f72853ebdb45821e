"""Versions of Asterisk, and from which on it has what."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Final

from bridge.explaining import SHOWN_MAX

_NUMBER: Final = r"([0-9]{1,4})(?![0-9])"
_VERSION: Final = re.compile(rf"(?:Asterisk |certified[-/])*{_NUMBER}(?:\.{_NUMBER})?[ -~]{{0,200}}")


class CannotPrint(Exception):
    """No dialplan can be made of the options. The text says why in one line, for an administrator."""


@dataclass(frozen=True, slots=True)
class Feature:
    """The first release of each branch of Asterisk that has a certain feature."""

    since: dict[int, int]
    """The first minor version by branch. Later branches have the feature from their start; others never got it."""

    def __contains__(self, version: tuple[int, int]) -> bool:
        branch, minor = version
        return branch > max(self.since) or minor >= self.since.get(branch, sys.maxsize)

    def condition(self, number: str) -> str:
        """Returns what tells in Asterisk's `$[…]` whether a version has it; `number` is its 1000 × branch + minor."""
        *some, last = (branch * 1_000 + minor for branch, minor in self.since.items())
        parts = [f"({number} >= {first} & {number} < {first // 1_000 + 1}000)" for first in some]
        return " | ".join([*parts, f"{number} >= {last}"])

    def __str__(self) -> str:
        *some, last = [f"{branch}.{minor}" for branch, minor in self.since.items()]
        return f"{', '.join(some)} or {last}"


UUID_FUNCTION: Final = Feature({20: 12, 21: 7, 22: 2, 23: 0})
DTMF: Final = Feature({20: 14, 21: 9, 22: 4, 23: 0})
PLAIN_END: Final = Feature({20: 14, 21: 9, 22: 4, 23: 0})
"""`AudioSocket()` ends when the server closes the connection. Before, it waits for ever, and the caller with it."""
WIDEBAND: Final = Feature({20: 17, 21: 12, 22: 7, 23: 1})
WEBSOCKET: Final = Feature({20: 18, 22: 8, 23: 2})
"""`Dial(WebSocket/…)` with control messages in JSON."""
OLDEST: Final = (18, 0)
"""The first version with AudioSocket."""


def parse_version(text: str) -> tuple[int, int]:
    """Returns branch and minor version of `22.8`, `20.14.1`, `certified-20.7-cert4` or what `asterisk -V` says.

    Raises CannotPrint.
    """
    match = _VERSION.fullmatch(text.strip())
    if not match:
        raise CannotPrint(f"--asterisk {shown(text)}: must be a version such as 20.14 or 22.8.2")
    version = int(match[1]), int(match[2] or 0)
    if version < OLDEST:
        raise CannotPrint(f"--asterisk {shown(text)}: AudioSocket is in Asterisk from 18 on")
    return version


def shown(text: str) -> str:
    """Returns an argument fit for one line of an error message."""
    return text if text.isprintable() and len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]!a}…"
