"""Every sentence ends: the budget of frames, and the signs of an end that was missed."""

from __future__ import annotations

from engine.qwen3.batch.end_guard import SILENT_FRAMES, STUCK_FRAMES, EndGuard, frame_budget


def test_budget_grows_with_the_text_and_stops_at_the_room_there_is() -> None:
    short, long = frame_budget(2, 1000), frame_budget(60, 1000)
    assert short * 0.08 < 6, "two words may not take longer than this"
    assert long / 60 > 4, "slow speech takes 4 frames a token"
    assert frame_budget(60, 100) == 100
    assert frame_budget(0, 1000) >= 1


def frames_until_over(guard: EndGuard, codes: list[int], levels: list[float]) -> tuple[int, str] | None:
    for number, (code, level) in enumerate(zip(codes, levels, strict=True), start=1):
        reason = guard.over(code, level)
        if reason:
            return number, reason
    return None


def test_long_silence_after_the_speech_is_an_end() -> None:
    codes = list(range(200))
    levels = [-20.0] * 30 + [-70.0] * 170
    assert frames_until_over(EndGuard(10), codes, levels) == (30 + SILENT_FRAMES, "silence")


def test_a_pause_is_not() -> None:
    levels = ([-20.0] * 10 + [-70.0] * (SILENT_FRAMES - 1)) * 4
    assert frames_until_over(EndGuard(5), list(range(len(levels))), levels) is None


def test_silence_before_the_first_sound_is_not() -> None:
    assert frames_until_over(EndGuard(0), list(range(40)), [-70.0] * 40) is None


def test_nothing_is_an_end_while_text_is_still_going_in() -> None:
    levels = [-20.0] * 5 + [-70.0] * 60
    number, _ = frames_until_over(EndGuard(50), list(range(65)), levels) or (0, "")
    assert number == 50


def test_a_code_that_does_not_change_is_an_end() -> None:
    codes = [3, 4, 5] + [77] * 100
    assert frames_until_over(EndGuard(3), codes, [-20.0] * 103) == (3 + STUCK_FRAMES, "stuck")
