"""Changes JSON so that it stays JSON: bytes changed at random hardly ever get past the parser."""

from __future__ import annotations

import json
import random
from typing import Any, Final

STRANGE: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1, 0.5, 1e308, 1e-320, float("nan"), float("inf"), 2**31, 2**63, 10**30),
    *("", " ", "0", "true", "\ud800", "\x00", "a" * 300, "é\u202e\U0001f600", "../x", "{name}", "data:;base64,AA=="),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": []}}),
)
_SEPARATORS: Final = ((", ", ": "), (",", ":"))


def mutated_json(data: bytes, seed: int) -> bytes | None:
    """Returns the input with one value changed in one of its lines of JSON; None where there is no such line."""
    chance = random.Random(seed)
    first, lines = data[:1], data[1:].split(b"\n")
    at = chance.randrange(len(lines))
    head, brace, _ = lines[at].partition(b"{")
    try:
        value = json.loads(lines[at][len(head) :])
    except (ValueError, RecursionError):
        return None
    lines[at] = head + json.dumps(_changed(value, chance), separators=chance.choice(_SEPARATORS)).encode()
    if not chance.randrange(4):
        lines.insert(chance.randrange(len(lines) + 1), chance.choice(lines))
    if not chance.randrange(8):
        del lines[chance.randrange(len(lines))]
    return first + b"\n".join(lines) if brace else None


def _changed(value: Any, chance: random.Random) -> Any:
    """Returns a value that differs in one place."""
    if isinstance(value, dict) and value and chance.randrange(5):
        key = chance.choice(list(value))
        others = {name: other for name, other in value.items() if name != key}
        match chance.randrange(8):
            case 0:
                return others
            case 1:
                return {**others, chance.choice(list(value)) + "s": value[key]}
            case 2:
                return {**value, key: chance.choice(list(value.values()))}
        return {**value, key: _changed(value[key], chance)}
    if isinstance(value, list) and value and chance.randrange(5):
        at = chance.randrange(len(value))
        match chance.randrange(6):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value * chance.choice((2, 50))
        return [*value[:at], _changed(value[at], chance), *value[at + 1 :]]
    if isinstance(value, str) and value and chance.randrange(2):
        at = chance.randrange(len(value) + 1)
        return value[:at] + str(chance.choice(STRANGE)) + value[at:]
    return chance.choice(STRANGE)
