"""The allow-list of TRANSFER_ALLOW: where a call may be sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

_DESTINATION: Final = re.compile(r"[\w.*#+-]+,[\w.*#+-]+,[\w-]+")
"""The form `context,extension,priority`; nothing else may reach a `Goto` in the dialplan."""
_WILDCARDS: Final = frozenset("*?[")
_PATTERN: Final = re.compile(r"[\w.*#+?\[\]!-]+,[\w.*#+?\[\]!-]+,[\w*?-]+")


class NotAllowed(Exception):
    """The destination is not on the list."""


class Destinations:
    """Named destinations and patterns, written as `sales=ext-queues,400,1; from-internal,2??,1`."""

    def __init__(self, allow: str = "") -> None:
        """Reads the list. Raises ValueError that says what is wrong."""
        self.names: dict[str, str] = {}
        self._patterns: list[str] = []
        for entry in filter(None, (part.strip() for part in allow.split(";"))):
            name, _, destination = entry.rpartition("=")
            if not _PATTERN.fullmatch(destination):
                raise ValueError(f"{entry!r} is not context,extension,priority (or name=context,extension,priority)")
            if name:
                if not is_destination(destination) or _WILDCARDS & set(destination):
                    raise ValueError(f"{entry!r}: a named destination is one, not a pattern")
                self.names[name.strip().casefold()] = destination
            self._patterns.append(destination)

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def resolve(self, wanted: str) -> str:
        """Returns the destination for a name or a destination on the list. Raises NotAllowed."""
        destination = self.names.get(wanted.strip().casefold(), wanted.strip())
        if not is_destination(destination):
            raise NotAllowed(f"{wanted!r} is no destination; known names are {_names(self.names)}")
        if not any(fnmatchcase(destination, pattern) for pattern in self._patterns):
            raise NotAllowed(f"{wanted!r} is not allowed by TRANSFER_ALLOW")
        return destination


def is_destination(text: str) -> bool:
    """Tells whether `text` is one `context,extension,priority` that a dialplan can read in no other way."""
    return _DESTINATION.fullmatch(text) is not None


def _names(names: Mapping[str, str]) -> str:
    return ", ".join(sorted(names)) or "none"
