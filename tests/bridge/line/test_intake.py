"""How much of what a peer sends is taken in, on a clock driven by hand."""

from __future__ import annotations

import pytest

from bridge.line.audiosocket import KIND_OF_RATE, Kind, Message
from bridge.line.intake import AUDIO_SPEED, BURST_MS, KEYS_PER_S, MESSAGE_MS, Intake


def flood(message: Message, seconds: int, per_ms: int) -> int:
    """Returns how many messages are taken in out of `per_ms` that come every millisecond."""
    intake = Intake(0.0)
    return sum(intake.takes(message, ms / 1000) for ms in range(seconds * 1000) for _ in range(per_ms))


@pytest.mark.parametrize("rate_hz", [8_000, 48_000, 192_000])
def test_audio_is_taken_in_at_twice_real_time_at_most(rate_hz: int) -> None:
    frame = Message(KIND_OF_RATE[rate_hz], bytes(rate_hz * 20 // 1000 * 2))
    taken_ms = 20 * flood(frame, 60, 1)
    assert taken_ms == pytest.approx(AUDIO_SPEED * 60_000 + BURST_MS, abs=20)


@pytest.mark.parametrize("kind", [Kind.SLIN8, Kind.ERROR, Kind.UUID, 0x7F])
def test_messages_without_sound_are_not_taken_in_without_end(kind: int) -> None:
    taken = flood(Message(kind, b""), 10, 10)
    assert taken * MESSAGE_MS == pytest.approx(AUDIO_SPEED * 10_000 + BURST_MS, abs=MESSAGE_MS)


def test_keys_are_taken_in_as_fast_as_anybody_types() -> None:
    assert flood(Message(Kind.DTMF, b"5"), 60, 3) == pytest.approx(61 * KEYS_PER_S, abs=1)


def test_a_call_loses_nothing_in_real_time_nor_after_the_network_stood_still() -> None:
    intake, frame = Intake(0.0), Message(Kind.SLIN8, bytes(160))
    assert all(intake.takes(frame, 4.0) for _ in range(400)), "four seconds at once"
    assert all(intake.takes(frame, 4.0 + count / 100) for count in range(3_000))
    assert all(intake.takes(Message(Kind.DTMF, b"1"), 40 + count / 10) for count in range(100))


def test_a_hang_up_is_always_heard() -> None:
    intake = Intake(0.0)
    assert not all(intake.takes(Message(Kind.SLIN8, bytes(8_000)), 0.0) for _ in range(100))
    assert intake.takes(Message(Kind.HANGUP, b""), 0.0)
