"""Keeps what the dialplan announces of a call (who calls, for example) until the call connects. Injected clock."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Final
from uuid import UUID

MAX_WAITING: Final = 10_000
"""How many registrations are kept: a dialplan that registers and never connects must not fill the memory."""
MAX_WAITING_OF_ONE: Final = MAX_WAITING // 2
"""How many registrations are kept of one source, so that another one always finds room."""
MAX_WAITING_CHARS: Final = 10_000_000
"""How long the names and values of all of them may be together."""
RESERVED_S: Final = 5.0
"""How long a registration holds a place. One that is never used must not keep callers out until it expires."""
MAX_VARIABLES: Final = 64
NAME: Final = "[A-Za-z_][A-Za-z0-9_-]{0,63}"
"""The pattern of a variable's name, which stands as `{name}` in prompts."""
MAX_VALUE_CHARS: Final = 1_000
MAX_CHARS: Final = 8_000
"""How long all names and values of one call may be together."""


class TooManyRegistrations(Exception):
    """There is no room for a registration until others have connected or expired."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What is known of one call before it is answered."""

    call_id: UUID
    variables: Mapping[str, str]
    """`from`, `to`, `name` and whatever else was given."""
    expires_s: float
    reserved_until_s: float
    """Until when it holds a place among the calls, for the dialplan connects at once."""
    source: str = ""
    """The address that announced it."""

    @property
    def chars(self) -> int:
        """How long all names and values are together."""
        return sum(len(name) + len(value) for name, value in self.variables.items())


class Registrations:
    """The announced calls. Each is claimed once, or expires after `ttl_s`."""

    def __init__(self, ttl_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self.ttl_s = ttl_s
        self._now_s = now_s
        self._waiting: dict[UUID, Registration] = {}
        self._waiting_chars = 0
        self._of_source: Counter[str] = Counter()

    def add(self, call_id: UUID, variables: Mapping[str, str], source: str = "") -> Registration:
        """Announces a call, or announces it again with other variables, and returns its registration.

        Raises ValueError if the call passes a limit, and TooManyRegistrations if all calls together do, or those of one
        source: what was announced before is kept, so that nobody can push it out.
        """
        if len(variables) > MAX_VARIABLES:
            raise ValueError(f"more than {MAX_VARIABLES} variables")
        if sum(len(name) + len(value) for name, value in variables.items()) > MAX_CHARS:
            raise ValueError(f"variables of more than {MAX_CHARS} characters")
        for name, value in variables.items():
            if not re.fullmatch(NAME, name):
                raise ValueError(f"{name[:80]!r} is no name of a variable: {NAME} is")
            if len(value) > MAX_VALUE_CHARS:
                raise ValueError(f"{name} is longer than {MAX_VALUE_CHARS} characters")
        self._expire()
        clean = {name: _printable(value) for name, value in variables.items()}
        now_s = self._now_s()
        registration = Registration(call_id, clean, now_s + self.ttl_s, now_s + min(RESERVED_S, self.ttl_s), source)
        earlier = self._waiting.get(call_id)
        chars = self._waiting_chars + registration.chars - (earlier.chars if earlier is not None else 0)
        full = len(self._waiting) >= MAX_WAITING or self._of_source[source] >= MAX_WAITING_OF_ONE
        if chars > MAX_WAITING_CHARS or (full and earlier is None):
            raise TooManyRegistrations
        self._remove(call_id)
        self._waiting[call_id] = registration
        self._waiting_chars += registration.chars
        self._of_source[source] += 1
        return registration

    def claim(self, call_id: UUID) -> Registration | None:
        """Returns what was announced of a call that connects, once, or None."""
        self._expire()
        return self._remove(call_id)

    def variables(self, call_id: UUID) -> Mapping[str, str] | None:
        """Returns what was announced of a call that has not connected yet, or None."""
        self._expire()
        return waiting.variables if (waiting := self._waiting.get(call_id)) is not None else None

    def reserved(self) -> int:
        """Returns how many places are held for calls that are about to connect."""
        return len(self.holding_places())

    def holding_places(self) -> list[UUID]:
        """Returns the calls for which these places are held, the latest first."""
        now_s = self._now_s()
        latest_first = reversed(self._waiting.values())
        held = takewhile(lambda waiting: waiting.reserved_until_s > now_s, latest_first)
        return [waiting.call_id for waiting in held]

    def holds_place(self, call_id: UUID) -> bool:
        """Tells whether one of these places is held for this call."""
        waiting = self._waiting.get(call_id)
        return waiting is not None and waiting.reserved_until_s > self._now_s()

    def __contains__(self, call_id: UUID) -> bool:
        self._expire()
        return call_id in self._waiting

    def __len__(self) -> int:
        self._expire()
        return len(self._waiting)

    def _expire(self) -> None:
        now_s = self._now_s()
        while self._waiting:
            oldest = next(iter(self._waiting.values()))
            if oldest.expires_s > now_s:
                return
            self._remove(oldest.call_id)

    def _remove(self, call_id: UUID) -> Registration | None:
        registration = self._waiting.pop(call_id, None)
        if registration is not None:
            self._waiting_chars -= registration.chars
            self._of_source[registration.source] -= 1
            if not self._of_source[registration.source]:
                del self._of_source[registration.source]
        return registration


def _printable(value: str) -> str:
    """Returns `value` with spaces for control characters: a caller's name goes into prompts."""
    return "".join(c if c.isprintable() else " " for c in value)
