"""The caller's audio without gaps: DTX is silence, jitter is not."""

from __future__ import annotations

from bridge.hearing.gap_filler import GapFiller

FRAME = b"\1\1" * 160


def test_audio_in_time_is_passed_on_as_it_is() -> None:
    inbound = GapFiller(10.0)
    for frame in range(1, 200):
        jitter_s = 0.03 * (frame % 3)
        assert inbound.push(FRAME, 8_000, 10.0 + frame * 0.02 + jitter_s) == FRAME
    assert inbound.position_ms == 199 * 20


def test_what_does_not_come_is_silence_on_the_wall_clock() -> None:
    inbound = GapFiller(10.0)
    inbound.push(FRAME, 8_000, 10.02)
    assert inbound.fill(10.08) == b""
    assert inbound.fill(10.52) == bytes(500 * 16)
    assert inbound.position_ms == 520
    assert inbound.push(FRAME, 8_000, 11.04) == bytes(500 * 16) + FRAME
    assert inbound.position_ms == 1_040


def test_silence_before_the_first_audio_counts_in_its_rate() -> None:
    inbound = GapFiller(0.0)
    assert len(inbound.fill(0.5)) == 8_000
    assert inbound.push(b"\1\1" * 320, 16_000, 0.52) == b"\1\1" * 320
    assert inbound.rate_hz == 16_000
    assert inbound.position_ms == 520


def test_another_rate_is_brought_to_the_first_one() -> None:
    inbound = GapFiller(0.0)
    inbound.push(FRAME, 8_000, 0.02)
    came = sum(len(inbound.push(b"\1\1" * 320, 16_000, 0.02 * frame)) for frame in range(2, 52))
    assert abs(came - 50 * 320) <= 100
    assert inbound.rate_hz == 8_000
