"""The allow-list of TRANSFER_ALLOW: where a call may be sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator

_DESTINATION: Final = re.compile(r"[\w.*#+-]+,[\w.*#+-]+,[\w-]+", re.ASCII)
"""The form `context,extension,priority`; nothing else may reach a `Goto` in the dialplan, whose FILTER agrees."""
_EXTENSION: Final = re.compile(r"[0-9*#+]+")
"""What is taken for an extension without its context; letters are a name that is not on the list."""
_WARM_EXTENSION: Final = re.compile(r"[0-9*#+?\[\]!-]+")
_WILDCARDS: Final = frozenset("*?[")
_PATTERN: Final = re.compile(r"[\w.*#+?\[\]!-]+,[\w.*#+?\[\]!-]+,[\w*?-]+", re.ASCII)
_PATTERN_PART: Final = re.compile(r"\[(!?)([^\]]+)\]|(.)")
_LEGEND: Final = (
    "There, ? is one digit, [2-4] is one of 2 to 4, and * is any number of digits. Give only the extension."
)
MAX_SHOWN_CHARS: Final = 80
"""How much of a destination that is refused is told to the model and the log."""


class NotAllowed(Exception):
    """The destination is not on the list."""


class Destinations:
    """Named destinations and patterns, written as `sales=ext-queues,400,1; from-internal,2??,1`."""

    def __init__(self, allow: str = "", warm: str = "") -> None:
        """Reads the list, and which of it are warm: names and extensions, `*` for all. Raises ValueError."""
        self.names: dict[str, str] = {}
        self.patterns: list[str] = []
        """The destinations without a name, as they are written in the list."""
        self._compiled: list[re.Pattern[str]] = []
        for entry in filter(None, (part.strip() for part in allow.split(";"))):
            name, _, destination = entry.rpartition("=")
            if not _PATTERN.fullmatch(destination):
                raise ValueError(f"{entry!r} is not context,extension,priority (or name=context,extension,priority)")
            if name:
                if not is_destination(destination) or _WILDCARDS & set(destination):
                    raise ValueError(f"{entry!r}: a named destination is one, not a pattern")
                self.names[name.strip().casefold()] = destination
            else:
                self.patterns.append(destination)
            self._compiled.append(_compile(destination))
        self.warm = [part.strip() for part in warm.split(";") if part.strip()]
        """Where somebody is told of the call before it is theirs: names, and extensions or patterns of them."""
        for entry in self.warm:
            if entry.casefold() not in self.names and not _WARM_EXTENSION.fullmatch(entry):
                raise ValueError(f"{entry!r} is neither one of these names: {_names(self.names)}; nor an extension")

    def __bool__(self) -> bool:
        return bool(self._compiled)

    def describe(self) -> str:
        """Returns what may be wanted of `resolve`, in words for a language model."""
        extensions = [extension for _, extension, _ in map(_parts, self.patterns) if extension]
        forms = [
            f"one of these names: {_names(self.names)}" if self.names else "",
            f"an extension of this form: {' or '.join(dict.fromkeys(extensions))}" if extensions else "",
        ]
        text = f"Where to send the caller: {', or '.join(filter(None, forms))}."
        return f"{text} {_LEGEND}" if any(_WILDCARDS & set(extension) for extension in extensions) else text

    def resolve(self, wanted: str) -> str:
        """Returns the destination for a name, an extension or a whole destination on the list. Raises NotAllowed.

        An extension alone, such as `201`, goes to the first context of the list that allows it.
        """
        wanted = wanted.strip()
        destination = self.names.get(wanted.casefold()) or self._of_extension(wanted) or wanted
        if not is_destination(destination):
            raise NotAllowed(f"{wanted[:MAX_SHOWN_CHARS]!r} is no destination. {self.describe()}")
        if not self._is_allowed(destination):
            raise NotAllowed(f"{wanted[:MAX_SHOWN_CHARS]!r} is not allowed by TRANSFER_ALLOW. {self.describe()}")
        return destination

    def is_warm(self, destination: str) -> bool:
        """Tells whether somebody at this destination, `context,extension,priority`, is told of the call first."""
        extension = _parts(destination)[1]
        return any(
            self.names.get(entry.casefold()) == destination
            or (_WARM_EXTENSION.fullmatch(entry) is not None and _compile(entry).fullmatch(extension) is not None)
            for entry in self.warm
        )

    def _of_extension(self, extension: str) -> str | None:
        if not _EXTENSION.fullmatch(extension):
            return None
        for context, _, priority in map(_parts, (*self.patterns, *self.names.values())):
            destination = f"{context},{extension},{priority}"
            if not _WILDCARDS & set(context + priority) and self._is_allowed(destination):
                return destination
        return None

    def _is_allowed(self, destination: str) -> bool:
        return any(pattern.fullmatch(destination) for pattern in self._compiled)


def _parts(destination: str) -> tuple[str, str, str]:
    """Returns context, extension and priority."""
    context, extension, priority = destination.split(",")
    return context, extension, priority


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


def _checked(value: str) -> str:
    if value and not is_destination(value):
        raise ValueError("must be context,extension,priority")
    return value


Destination = Annotated[str, AfterValidator(_checked)]
"""A setting such as `ext-queues,400,1`; empty for none."""
