"""Bounds what is taken in of what a peer sends, so that one connection cannot hold up the others. No I/O."""

from __future__ import annotations

from typing import Final

from bridge.line.audiosocket import RATE_HZ, Kind, Message

AUDIO_SPEED: Final = 2.0
"""The speed, in × realtime, at which a call's audio is taken in for longer than a burst."""
BURST_MS: Final = 5_000
"""How much audio may come at once: what a network that stood still has held back."""
MESSAGE_MS: Final = 5
"""What a message of any kind counts as at least. Asterisk's own carry 10 ms or more; empty ones cost time too."""
KEYS_PER_S: Final = 20
"""The number of keys taken a second: no finger is as fast, and few senders of tones are."""


class Allowance:
    """An amount that grows with time up to `most`, and that is spent by what is taken."""

    def __init__(self, per_s: float, most: float, now_s: float) -> None:
        self._per_s = per_s
        self._most = self._left = most
        self._since_s = now_s

    def take(self, amount: float, now_s: float) -> bool:
        """Spends `amount`, unless less than that is left; tells whether it did."""
        self._left = min(self._left + (now_s - self._since_s) * self._per_s, self._most)
        self._since_s = now_s
        if amount > self._left:
            return False
        self._left -= amount
        return True


class Intake:
    """Decides which messages of one connection are taken in."""

    def __init__(self, now_s: float) -> None:
        self._audio = Allowance(AUDIO_SPEED * 1000, BURST_MS, now_s)
        self._keys = Allowance(KEYS_PER_S, KEYS_PER_S, now_s)

    def takes(self, message: Message, now_s: float) -> bool:
        """Tells whether a message is taken in; a hang-up always is."""
        kind, payload = message
        if kind == Kind.HANGUP:
            return True
        if kind == Kind.DTMF:
            return self._keys.take(1, now_s)
        rate_hz = RATE_HZ.get(kind)
        audio_ms = len(payload) // 2 * 1000 / rate_hz if rate_hz is not None else 0
        return self._audio.take(max(audio_ms, MESSAGE_MS), now_s)
