"""What the web-hook tells of one call: when it began, and at its end all that came of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.conversation.recording import CallRecording
    from bridge.conversation.talk import Talk


class CallReport:
    """Gathers a call's events as an observer of its journal, and sends `call.started` and `call.ended`."""

    def __init__(
        self,
        conversation: Talk,
        send: Callable[[dict[str, Any]], None],
        recording: CallRecording | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`now` returns the time of day, in UTC."""
        self._conversation = conversation
        self._send = send
        self._recording = recording
        self._now = now
        self._started = now()
        self._keys: list[dict[str, Any]] = []
        self._tools: list[dict[str, Any]] = []
        self._handovers: list[dict[str, Any]] = []

    def __call__(self, event: dict[str, Any]) -> None:
        """Takes one event of the journal."""
        match event["type"]:
            case "call.started":
                self._send({**event, "started_at": _iso(self._started), "variables": self._conversation.variables})
            case "dtmf":
                self._keys.append({"digit": event["digit"], "at_ms": event["at_ms"]})
            case "call.handed_over":
                self._handovers.append({name: event[name] for name in ("from_agent", "agent_name", "reason", "at_ms")})
            case "transfer.briefed" | "transfer.done":
                self._send({**event, "variables": self._conversation.variables})
            case "tool.done":
                self._tools.append({name: value for name, value in event.items() if name not in ("type", "call_id")})
            case "call.ended":
                self._send({**event, **self._ended(event)})

    def _ended(self, event: dict[str, Any]) -> dict[str, Any]:
        recording = self._recording
        return {
            "started_at": _iso(self._started),
            "ended_at": _iso(self._now()),
            "duration_ms": event["at_ms"],
            **self._conversation.describe(),
            "keys": self._keys,
            "tools": self._tools,
            "handovers": self._handovers,
            "recording": str(recording.wav_path) if recording is not None and recording.keeps_sound else None,
            "journal": str(recording.journal_path) if recording is not None else None,
        }


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
