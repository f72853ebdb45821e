"""What the calls showed: figures over all of them, and the faults of the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge.dial.caller import Caller, Close
from bridge.dial.conformance import Fault, blurred, end_s, faults
from bridge.dial.lateness import Spread, expected_frames, lateness_ms, longest_burst, spacing_ms
from bridge.dial.table import PERCENTILES, aligned, spread_cells

SILENCE_CHECK_S: Final = 1.0
"""How long after an interrupt voiced frames are looked for."""
STILL_VOICED_S: Final = 0.8
"""A voiced frame this long after an interrupt is speech that went on, not the end of it."""


@dataclass(slots=True)
class PlacedCall:
    """A call, and what was done on it besides listening."""

    caller: Caller
    failed: str = ""
    """Why the call could not be placed, or what the calls API refused."""
    unmet: str = ""
    """What the call waited for in vain."""
    handed_s: float | None = None
    """When the text to be spoken was handed over."""
    interrupted_s: float | None = None
    """When the interrupt was asked for."""

    def first_frame_ms(self) -> float | None:
        """Returns the time from dialling to the first frame of any kind."""
        arrivals_s = self.caller.received.arrivals_s
        return _ms(self.caller.dialled_s, float(arrivals_s[0]) if arrivals_s.size else None)

    def first_voiced_ms(self) -> float | None:
        """Returns the time from dialling to the first voiced frame."""
        return _ms(self.caller.dialled_s, self.caller.received.first_voiced_s(0.0))

    def say_ms(self) -> float | None:
        """Returns the time from handing the text over to its first voiced frame."""
        return _ms(self.handed_s, self.caller.received.first_voiced_s(self.handed_s or 0.0))

    def silence_ms(self) -> float | None:
        """Returns the time from the interrupt to the last voiced frame; 0 if none came after it."""
        if self.interrupted_s is None:
            return None
        last_s = self.caller.received.last_voiced_s(self.interrupted_s, self.interrupted_s + SILENCE_CHECK_S)
        return _ms(self.interrupted_s, last_s) or 0.0

    def closed_ms(self) -> float | None:
        """Returns the time from our hang-up to the server's close."""
        return None if self.caller.by_server else _ms(self.caller.hung_up_s, self.caller.closed_s)

    def faults(self) -> list[Fault]:
        """Returns what the server did wrong on this call."""
        if self.failed:
            return [Fault("refuses", self.failed)]
        found = faults(self.caller)
        if self.unmet:
            found.append(Fault("is silent", self.unmet))
        if self.handed_s is not None and self.say_ms() is None:
            found.append(Fault("does not speak", "the text that was handed over was never heard"))
        silence_ms = self.silence_ms()
        if silence_ms is not None and silence_ms > STILL_VOICED_S * 1000:
            found.append(Fault("goes on speaking after the interrupt", f"for {silence_ms:.0f} ms"))
        return found

    def ending(self) -> str:
        """Returns in words how the call ended."""
        if self.failed:
            return "not placed, or refused"
        if self.caller.close is Close.FLOOD:
            return "we left a flood"
        if not self.caller.by_server:
            return f"we hung up, then {self.caller.close}"
        announced = "00 00 00, then " if self.caller.received.hangup_s is not None else ""
        return f"the server: {announced}{self.caller.close}"


class Report:
    """The measurements of calls that have ended. Lateness counts between `from_s` and `until_s`, when all were up."""

    def __init__(self, placed: list[PlacedCall], from_s: float, until_s: float) -> None:
        self.placed = placed
        self._up = [call for call in placed if call.caller.connected]
        self._from_s = from_s
        self._until_s = until_s

    @cached_property
    def lateness(self) -> Spread | None:
        """Lateness of every frame of every call, in ms; for some frames it is an upper bound."""
        return _joined([late_ms for late_ms, _ in self._lateness])

    @cached_property
    def exact_lateness(self) -> Spread | None:
        """Lateness without the frames whose time is an upper bound."""
        return _joined([late_ms[~bounds] for late_ms, bounds in self._lateness])

    @cached_property
    def spacing(self) -> Spread | None:
        """The time from each frame to the next, in ms."""
        return _joined([spacing_ms(call.caller.received.arrivals_s[self._within(call)]) for call in self._up])

    @cached_property
    def upper_bounds(self) -> int:
        """How many frames have a time that is an upper bound, counted while all calls were up."""
        return sum(int(bounds.sum()) for _, bounds in self._lateness)

    @cached_property
    def frames(self) -> tuple[int, int]:
        """How many frames were received, and how many were expected."""
        return sum(received for received, _ in self._frames), sum(expected for _, expected in self._frames)

    @property
    def missing(self) -> int:
        """How many frames never came. Frames too many on one call do not make up for those missing on another."""
        return sum(max(0, expected - received) for received, expected in self._frames)

    @cached_property
    def faults(self) -> dict[str, list[str]]:
        """Each rule that was broken, with what was seen on each call that broke it."""
        found: dict[str, list[str]] = {}
        for call in self.placed:
            for fault in call.faults():
                found.setdefault(fault.rule, []).append(fault.seen)
        return found

    def figures(self) -> dict[str, Any]:
        """Returns everything that was measured, for a machine; times are in ms."""
        received, expected = self.frames
        spreads = {name: spread for name, _, spread in self._rows()}
        return {
            "calls": len(self._up),
            **{name: None if spread is None else _dict(spread) for name, spread in spreads.items()},
            "frames_received": received,
            "frames_expected": expected,
            "frames_timed_by_reading": self._unstamped,
            "frames_with_upper_bound": self.upper_bounds,
            "longest_burst": self._longest_burst,
            "own_lateness_ms": self._own_lateness_ms,
            "endings": Counter(call.ending() for call in self.placed),
            "faults": self.faults,
        }

    def text(self) -> str:
        """Returns the figures as text for a person."""
        received, expected = self.frames
        blurred_calls = sum(blurred(call.caller) for call in self._up)
        frames = sum(len(call.caller.received) for call in self._up)
        rows = [("ms", *PERCENTILES), *((title, *spread_cells(spread)) for _, title, spread in self._rows() if spread)]
        lines = [
            aligned(rows),
            "",
            f"frames    {received:,} received of {expected:,} expected, longest burst {self._longest_burst}",
            f"times     {frames - self._unstamped:,} frames by the kernel, {self._unstamped:,} as they were read; "
            f"{self.upper_bounds:,} are upper bounds, because the frame lay unread with the next",
            f"caller    its own frames were at most {self._own_lateness_ms:.1f} ms late",
        ]
        lines += [
            f"ended     {count} × {ending}"
            for ending, count in Counter(call.ending() for call in self.placed).most_common()
        ]
        if blurred_calls:
            lines.append(f"not judged on spacing: {blurred_calls} calls, because this caller itself was too late")
        lines.append("")
        if not self.faults:
            lines.append("conforms: nothing that a real Asterisk would drop or spoil the call for")
        for rule, seen in self.faults.items():
            lines.append(f"FAULT on {len(seen)} of {len(self.placed)} calls: {rule} ({seen[0]})")
        return "\n".join(lines)

    def _rows(self) -> list[tuple[str, str, Spread | None]]:
        return [
            ("lateness", "lateness against the 20 ms grid", self.lateness),
            ("exact_lateness", "… without upper bounds", self.exact_lateness if self.upper_bounds else None),
            ("spacing", "from frame to frame", self.spacing),
            ("first_frame", "dialled → first frame", self._spread(PlacedCall.first_frame_ms)),
            ("first_voiced", "dialled → first voiced frame", self._spread(PlacedCall.first_voiced_ms)),
            ("say", "text handed over → first voiced frame", self._spread(PlacedCall.say_ms)),
            ("silence", "interrupt → last voiced frame", self._spread(PlacedCall.silence_ms)),
            ("closed", "our hang-up → server closed", self._spread(PlacedCall.closed_ms)),
        ]

    def _spread(self, figure: Callable[[PlacedCall], float | None]) -> Spread | None:
        return _spread_of(value for call in self._up if (value := figure(call)) is not None)

    @cached_property
    def _lateness(self) -> list[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
        """Returns each call's lateness of frames, and which of them are upper bounds."""
        found = []
        for call in self._up:
            received, within = call.caller.received, self._within(call)
            late_ms = lateness_ms(received.arrivals_s[within], received.positions_s[within])
            found.append((late_ms, received.upper_bounds[within]))
        return found

    @cached_property
    def _frames(self) -> list[tuple[int, int]]:
        """Returns how many frames each call received, and how many were expected, while all were up."""
        found = []
        for call in self._up:
            arrivals_s = call.caller.received.arrivals_s[self._within(call)]
            found.append((arrivals_s.size, expected_frames(arrivals_s, min(self._until_s, end_s(call.caller)))))
        return found

    def _within(self, call: PlacedCall) -> NDArray[np.bool_]:
        """Tells which frames came while all calls were up."""
        arrivals_s = call.caller.received.arrivals_s
        return (arrivals_s >= self._from_s) & (arrivals_s <= self._until_s)

    @cached_property
    def _longest_burst(self) -> int:
        return max((longest_burst(call.caller.received.arrivals_s) for call in self._up), default=0)

    @property
    def _unstamped(self) -> int:
        return sum(call.caller.unstamped for call in self._up)

    @property
    def _own_lateness_ms(self) -> float:
        return max((call.caller.late_s for call in self._up), default=0.0) * 1000


def _ms(from_s: float | None, to_s: float | None) -> float | None:
    return None if from_s is None or to_s is None else (to_s - from_s) * 1000


def _joined(values: list[NDArray[np.float64]]) -> Spread | None:
    return Spread.of(np.concatenate(values)) if values else None


def _spread_of(values: Iterable[float]) -> Spread | None:
    return Spread.of(np.fromiter(values, np.float64))


def _dict(spread: Spread) -> dict[str, float]:
    return {"count": spread.count, "p50": spread.p50, "p99": spread.p99, "p99.9": spread.p999, "max": spread.max}
