"""What of a call is kept: in its journal, its recording's files, and what the web-hook is told. No I/O."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

PrivacyMode = Literal["off", "routing", "strict"]

HIDDEN_KEY: Final = "?"
"""What stands for a key that was pressed: one after the other, keys are a number too."""
HASH_CHARS: Final = 16
NUMBERS: Final = frozenset({"from", "to"})
"""Fields that hold who calls and who is called, whatever that looks like."""
KEYS: Final = frozenset({"digit", "dtmf"})
STRUCTURE: Final = frozenset(
    {"type", "call_id", "id", "time", "started_at", "ended_at", "state", "object", "recording", "journal"}
    | {"agent_name", "from_agent", "agent", "answered_by", "who", "by", "kind", "floor", "stage", "language"}
    | {"service", "failed", "outcome", "end_reason", "tool", "model"}
)
"""Fields whose text is the server's own. Any other text may hold what somebody said, and so may one that is new."""
OBJECTS: Final = frozenset({"stages", "transcript", "trace", "keys", "tools", "handovers", "conversation"})
"""Fields that hold objects whose names are the server's own. In any other object a name may say as much as a text."""
MEASURES: Final = ("_ms", "_s", "_hz", "_frames")
"""How the names of fields end whose numbers the server has measured."""
COUNTS: Final = frozenset({"number", "journal_version", "turn"})
"""Fields whose numbers the server has counted. Any other number may be one that somebody has said or has."""
OWN_REASONS: Final = frozenset({"call.ended", "response.interrupted"})
"""Events whose `reason` is the server's own; elsewhere a model writes it."""
_SEPARATOR = r"(?:[\s./()\u2010-\u2015-]|\\u(?:00a0|201[0-5])){0,3}"
"""What may stand between two digits of a number, also as JSON in a text writes it."""
_ESCAPE: Final = re.compile(r"\\u[0-9a-f]{4}")
_DATE = r"(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?!\d)"
_NUMBER: Final = re.compile(rf"(?<!\d)(?<!\d[.])(?!{_DATE})\+?\d(?:{_SEPARATOR}\d){{6,18}}(?!\d)")
"""Seven to nineteen digits, as telephone numbers and those of cards have, also in groups; but no date as 2030-01-02."""


class Privacy:
    """Keeps all (`off`), all but numbers and keys (`routing`), or nothing that anybody said or is (`strict`)."""

    def __init__(self, mode: PrivacyMode = "off", key: str = "") -> None:
        """`key` is what numbers are hashed with: the same number has the same hash while the key is the same."""
        self.mode = mode
        self._key = key.encode()

    @property
    def keeps_words(self) -> bool:
        """Tells whether anything is kept of what was said, as words or as sound."""
        return self.mode != "strict"

    def kept(self, told: dict[str, Any]) -> dict[str, Any]:
        """Returns an event, or what else is told of a call as JSON, as it is kept."""
        return told if self.mode == "off" else self._of_object(told)

    def kept_text(self, text: str) -> str:
        """Returns words as they are kept."""
        match self.mode:
            case "off":
                return text
            case "routing":
                return _NUMBER.sub(lambda number: self.hashed(_ESCAPE.sub("", number[0])), text)
            case "strict":
                return ""

    def hashed(self, number: str) -> str:
        """Returns what stands for a number, however its digits are grouped."""
        digits = "".join(filter(str.isdigit, number)) or number.casefold()
        return f"num_{hmac.digest(self._key, digits.encode(errors='replace'), 'sha256').hex()[:HASH_CHARS]}"

    def _of_object(self, told: Mapping[str, Any]) -> dict[str, Any]:
        own = STRUCTURE | {"reason"} if told.get("type") in OWN_REASONS else STRUCTURE
        return {name: value if name in own else self._of(name, value) for name, value in told.items()}

    def _of(self, name: str, value: Any) -> Any:
        match value:
            case str() if name in KEYS:
                return HIDDEN_KEY * len(value)
            case str() if name in NUMBERS and value and self.mode == "routing":
                return self.hashed(value)
            case str():
                return self.kept_text(value)
            case dict() if name in OBJECTS:
                return self._of_object(value)
            case dict():
                return self._of_foreign(value)
            case list():
                return [self._of(name, each) for each in value]
            case bool() | None:
                return value
            case _ if name in COUNTS or name.endswith(MEASURES):
                return value
        return self._of_number(value)

    def _of_foreign(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Returns an object with names of others, such as variables: no such name makes its value harmless."""
        if self.mode == "strict":
            return {}
        return {
            self.kept_text(name): self._of(name if name in NUMBERS | KEYS else "", value)
            for name, value in told.items()
        }

    def _of_number(self, number: float) -> float | str:
        if self.mode == "strict":
            return 0
        digits = f"{abs(number):.0f}"
        return self.hashed(digits) if _NUMBER.fullmatch(digits) else number
