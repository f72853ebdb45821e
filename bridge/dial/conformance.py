"""Finds what a server did on a call that would drop or spoil the call on a real Asterisk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from bridge.dial.caller import Caller, Close
from bridge.dial.lateness import expected_frames, longest_burst, spacing_ms
from bridge.line.audiosocket import FRAME_MS, KIND_OF_RATE, RATE_HZ, Kind

FIRST_FRAME_MS: Final = 500
"""A channel without a frame when it is first read stops reading its caller (asterisk#2089); 2 s of silence drops it."""
LONGEST_BURST: Final = 4
"""A server that was up to 60 ms late may send three missed frames with the one that is due. A longer burst is not
lateness: Asterisk passes it on at once, and the caller's jitter buffer throws it away."""
LONGEST_GAP_MS: Final = 100
"""After a hole of this length or more, Asterisk starts the caller's RTP timing anew."""
MISSED_SHARE: Final = 0.01
"""A server that misses a greater share of frames than this does not keep sending; it was not merely late."""
EXTRA_FRAMES: Final = 2
"""One frame may be ahead, and one is for rounding at both ends."""
SPLIT_MS: Final = 1.0
"""Asterisk waits 5 ms for the rest of a message. What is written at once arrives within 1 ms, over a network too."""
BLURRED_MS: Final = FRAME_MS
RATE_KNOWN_MS: Final = 500
"""After this time a server knows the caller's rate from the caller's own audio."""

_MAY_BE_SENT: Final = frozenset({int(Kind.HANGUP), *RATE_HZ})


class Fault(NamedTuple):
    """A rule that a server broke, and what was seen."""

    rule: str
    seen: str


def faults(caller: Caller) -> list[Fault]:
    """Returns what the server did wrong on a call that has ended, each rule once; nothing if the server conforms."""
    return [*_messages(caller), *_pacing(caller), *_ending(caller)]


def _messages(caller: Caller) -> Iterator[Fault]:
    received = caller.received
    if strange := {kind: count for kind, count in received.kinds.items() if kind not in _MAY_BE_SENT}:
        seen = ", ".join(f"{count} of kind 0x{kind:02x}" for kind, count in sorted(strange.items()))
        yield Fault("sends what is neither audio nor 0x00: Asterisk drops the call", seen)
    if empty := sum(count for (_, size), count in received.sizes.items() if not size):
        yield Fault("sends audio messages without audio: Asterisk drops the call", f"{empty}")
    odd = [(kind, size) for kind, size in received.sizes if size not in (0, 2 * RATE_HZ[kind] * FRAME_MS // 1000)]
    if odd:
        seen = ", ".join(f"{size} bytes of kind 0x{kind:02x}" for kind, size in sorted(odd))
        yield Fault(f"sends messages that are not {FRAME_MS} ms: Asterisk makes one RTP packet of each", seen)
    if received.other_rate_s is not None and received.other_rate_s > caller.first_sent_s + RATE_KNOWN_MS / 1000:
        kinds = ", ".join(f"0x{kind:02x}" for kind in sorted({kind for kind, _ in received.sizes}))
        yield Fault(
            "answers in another kind than the caller's: old Asterisks drop the call",
            f"{kinds} to 0x{KIND_OF_RATE[received.rate_hz]:02x}",
        )
    if received.worst_split_ms > SPLIT_MS and not blurred(caller):
        yield Fault("sends messages in parts: Asterisk drops the call at 5 ms", f"{received.worst_split_ms:.1f} ms")
    if received.after_hangup:
        yield Fault("goes on sending after 00 00 00", f"{received.after_hangup} messages")


def _pacing(caller: Caller) -> Iterator[Fault]:
    received = caller.received
    arrivals_s = received.arrivals_s
    first_s = arrivals_s[0] if arrivals_s.size else end_s(caller)
    silent_ms = (first_s - caller.dialled_s) * 1000
    if silent_ms > FIRST_FRAME_MS:
        yield Fault("does not send silence from the start: Asterisk drops the call after 2 s", f"{silent_ms:.0f} ms")
    if not arrivals_s.size:
        return
    burst = longest_burst(arrivals_s)
    if burst > LONGEST_BURST and not blurred(caller):
        yield Fault("sends bursts: Asterisk passes them on, and the phone's jitter buffer overflows", f"{burst} frames")
    gap_ms = spacing_ms(arrivals_s).max(initial=0.0)
    if gap_ms > LONGEST_GAP_MS and not blurred(caller):
        yield Fault("does not keep sending where there is no speech", f"no frame for {gap_ms:.0f} ms")
    expected = expected_frames(arrivals_s, end_s(caller))
    seen = f"{len(received)} frames of {expected} expected"
    if expected - len(received) > max(MISSED_SHARE * expected, 1):
        yield Fault("slower than real time: the caller hears holes", seen)
    if len(received) - expected > max(MISSED_SHARE * expected, EXTRA_FRAMES):
        yield Fault("faster than real time: the phone throws away what it cannot hold", seen)


def _ending(caller: Caller) -> Iterator[Fault]:
    if caller.write_failed:
        yield Fault("stops reading: Asterisk drops the call when its write fails", caller.close.value)
    if caller.close is Close.FLOOD:
        yield Fault("floods the caller: nobody can keep what it sends", caller.close.value)
    elif caller.close is Close.OPEN:
        yield Fault("leaves its side open", "for a second after the end of the call")
    elif caller.by_server and caller.close is not Close.EOF:
        yield Fault("ends the call without a clean close: Asterisk drops the caller", caller.close.value)
    elif caller.by_server and caller.received.hangup_s is None:
        yield Fault("closes without 00 00 00: Asterisk before 20.14, 21.9 and 22.4 spins until the hang-up", "EOF")


def blurred(caller: Caller) -> bool:
    """Tells whether this caller was so late itself that the spacing of frames says nothing about the server."""
    return caller.late_s * 1000 > BLURRED_MS


def end_s(caller: Caller) -> float:
    """Returns until when frames were due, which is the first hang-up or close from either side."""
    ends = [s for s in (caller.received.hangup_s, caller.hung_up_s, caller.closed_s) if s is not None]
    return min(ends)
