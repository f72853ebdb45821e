"""What a speech-to-speech service may have waiting on one call."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bridge.conversation.realtime.spoken_items import MAX_AHEAD_MS, MAX_ITEMS, SpokenItems
from bridge.line.playout import Playout
from bridge.realtime.protocol import RATE_HZ

TWENTY_MS = bytes(RATE_HZ // 50 * 2)
MINUTE = bytes(RATE_HZ * 60 * 2)


@pytest.fixture
def items() -> SpokenItems:
    call: Any = SimpleNamespace(id="call", playout=Playout())
    return SpokenItems(call)


def test_a_service_that_begins_ever_new_items_is_not_listened_to(items: SpokenItems) -> None:
    taken = [items.sound(f"answer {number}", f"item {number}", TWENTY_MS) for number in range(3 * MAX_ITEMS)]
    assert taken.count(None) == 2 * MAX_ITEMS
    assert len(items.live) == MAX_ITEMS


def test_sound_is_bounded_over_all_items(items: SpokenItems) -> None:
    for number in range(20):
        items.sound(f"answer {number}", f"item {number}", MINUTE)
    assert MAX_AHEAD_MS <= items.ahead_ms <= MAX_AHEAD_MS + 60_000


def test_an_item_that_is_there_goes_on_while_there_is_no_room_for_others(items: SpokenItems) -> None:
    for number in range(MAX_ITEMS):
        items.sound("answer", f"item {number}", TWENTY_MS)
    assert items.sound("another", "more", TWENTY_MS) is None
    assert items.sound("answer", "item 0", TWENTY_MS) is not None
