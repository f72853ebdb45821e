"""Keys pressed in a row are handed over together, and never more than so many."""

from __future__ import annotations

from bridge.conversation.digits import MAX_DIGITS, Digits


async def test_keys_without_a_pause_are_handed_over_all_the_same() -> None:
    pressed: list[str] = []
    digits = Digits(60_000, lambda digits, said: pressed.append(digits + said))
    for _ in range(3 * MAX_DIGITS):
        digits.press("5")
    assert pressed == ["5" * MAX_DIGITS] * 3
    digits.press("1")
    digits.press("#")
    assert pressed[3:] == ["1#"]
