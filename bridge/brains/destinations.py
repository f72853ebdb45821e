"""The allow-list of TRANSFER_ALLOW: where a call may be sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_DESTINATION: Final = re.compile(r"[\w.*#+-]+,[\w.*#+-]+,[\w-]+", re.ASCII)
"""The form `context,extension,priority`; nothing else may reach a `Goto` in the dialplan, whose FILTER agrees."""
_WILDCARDS: Final = frozenset("*?[")
_PATTERN: Final = re.compile(r"[\w.*#+?\[\]!-]+,[\w.*#+?\[\]!-]+,[\w*?-]+", re.ASCII)
_PATTERN_PART: Final = re.compile(r"\[(!?)([^\]]+)\]|(.)")
MAX_SHOWN_CHARS: Final = 80
"""How much of a destination that is refused is told to the model and the log."""


class NotAllowed(Exception):
    """The destination is not on the list."""


class Destinations:
    """Named destinations and patterns, written as `sales=ext-queues,400,1; from-internal,2??,1`."""

    def __init__(self, allow: str = "") -> None:
        """Reads the list. Raises ValueError that says what is wrong."""
        self.names: dict[str, str] = {}
        self._patterns: list[re.Pattern[str]] = []
        for entry in filter(None, (part.strip() for part in allow.split(";"))):
            name, _, destination = entry.rpartition("=")
            if not _PATTERN.fullmatch(destination):
                raise ValueError(f"{entry!r} is not context,extension,priority (or name=context,extension,priority)")
            if name:
                if not is_destination(destination) or _WILDCARDS & set(destination):
                    raise ValueError(f"{entry!r}: a named destination is one, not a pattern")
                self.names[name.strip().casefold()] = destination
            self._patterns.append(_compile(destination))

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def resolve(self, wanted: str) -> str:
        """Returns the destination for a name or a destination on the list. Raises NotAllowed."""
        destination = self.names.get(wanted.strip().casefold(), wanted.strip())
        if not is_destination(destination):
            raise NotAllowed(f"{wanted[:MAX_SHOWN_CHARS]!r} is no destination; known names are {_names(self.names)}")
        if not any(pattern.fullmatch(destination) for pattern in self._patterns):
            raise NotAllowed(f"{wanted[:MAX_SHOWN_CHARS]!r} is not allowed by TRANSFER_ALLOW")
        return destination


def _compile(pattern: str) -> re.Pattern[str]:
    """Returns the pattern as a regular expression. Raises ValueError.

    `*` is anything. `?` and `[!...]` are one letter, digit, `_` or `-`: whoever allows `2??` means numbers, whereas
    `2*#` may be a feature of the telephone system.
    """

    def part(match: re.Match[str]) -> str:
        negated, choices, single = match.groups()
        if choices:
            choices = choices.replace("[", r"\[")
            return rf"(?=[\w-])[^{choices}]" if negated else f"[{choices}]"
        return {"*": ".*", "?": r"[\w-]"}.get(single, re.escape(single))

    try:
        return re.compile(_PATTERN_PART.sub(part, pattern), re.ASCII)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not context,extension,priority: {error}") from None


def is_destination(text: str) -> bool:
    """Tells whether `text` is one `context,extension,priority` that a dialplan can read in no other way."""
    return _DESTINATION.fullmatch(text) is not None


def _names(names: Mapping[str, str]) -> str:
    return ", ".join(sorted(names)) or "none"
