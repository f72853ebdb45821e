"""A span, before it takes OpenTelemetry's form."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

Value = str | int | float | bool


@dataclass(slots=True)
class Span:
    """What took time in a call, in nanoseconds since 1970. A span without a parent is its trace's root."""

    name: str
    start_ns: int
    end_ns: int
    parent_id: int | None = None
    attributes: dict[str, Value] = field(default_factory=dict)
    events: list[tuple[str, int, dict[str, Value]]] = field(default_factory=list)
    """What happened meanwhile: name, time and attributes."""
    asks: bool = False
    """Tells whether another service was asked."""
    failed: bool = False
    span_id: int = field(default_factory=lambda: new_id())


def new_id() -> int:
    """Returns the id of a span, which is never 0."""
    return random.getrandbits(64) or 1
