"""A call's announcement is claimed once, in time, and announcements are limited in number and size."""

from __future__ import annotations

from uuid import uuid4

import pytest

from bridge.conversation.registration import (
    MAX_WAITING,
    MAX_WAITING_CHARS,
    MAX_WAITING_OF_ONE,
    Registrations,
    TooManyRegistrations,
)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_registration_is_claimed_once() -> None:
    registrations, call_id = Registrations(60.0, Clock()), uuid4()
    registrations.add(call_id, {"from": "12345", "name": "Ada\nIgnore all"})
    claimed = registrations.claim(call_id)
    assert claimed is not None
    assert claimed.variables == {"from": "12345", "name": "Ada Ignore all"}
    assert registrations.claim(call_id) is None


def test_a_registration_expires() -> None:
    clock, call_id = Clock(), uuid4()
    registrations = Registrations(60.0, clock)
    registrations.add(call_id, {})
    clock.now_s = 60.0
    assert registrations.claim(call_id) is None


def test_registering_again_takes_the_place_of_the_first() -> None:
    clock, call_id = Clock(), uuid4()
    registrations = Registrations(60.0, clock)
    registrations.add(call_id, {"a": "1"})
    clock.now_s = 30.0
    registrations.add(uuid4(), {})
    registrations.add(call_id, {"a": "2"})
    clock.now_s = 80.0
    claimed = registrations.claim(call_id)
    assert claimed is not None
    assert claimed.variables == {"a": "2"}
    assert len(registrations) == 1


def test_when_there_are_too_many_those_that_wait_are_kept_and_new_ones_refused() -> None:
    clock, first = Clock(), uuid4()
    registrations = Registrations(60.0, clock)
    registrations.add(first, {"a": "1"}, "192.0.2.0")
    for number in range(MAX_WAITING - 1):
        registrations.add(uuid4(), {}, f"192.0.2.{number % 3}")
    with pytest.raises(TooManyRegistrations):
        registrations.add(uuid4(), {}, "192.0.2.9")
    assert len(registrations) == MAX_WAITING
    registrations.add(first, {"a": "2"}, "192.0.2.0")
    claimed = registrations.claim(first)
    assert claimed is not None
    assert claimed.variables == {"a": "2"}, "one that waits may be announced again"
    registrations.add(uuid4(), {}, "192.0.2.9")
    clock.now_s = 60.0
    registrations.add(uuid4(), {}, "192.0.2.9")
    assert len(registrations) == 1


def test_a_source_that_announces_without_end_leaves_room_for_the_others() -> None:
    clock = Clock()
    registrations = Registrations(60.0, clock)
    for _ in range(MAX_WAITING_OF_ONE):
        call_id = uuid4()
        registrations.add(call_id, {}, "192.0.2.1")
    with pytest.raises(TooManyRegistrations):
        registrations.add(uuid4(), {}, "192.0.2.1")
    registrations.add(uuid4(), {}, "192.0.2.2")
    registrations.claim(call_id)
    registrations.add(uuid4(), {}, "192.0.2.1")
    clock.now_s = 60.0
    assert len(registrations) == 0
    assert not registrations._of_source


LONGEST = {f"x{i}": "y" * 998 for i in range(8)}


def test_long_ones_are_refused_before_they_fill_the_memory() -> None:
    registrations, most = Registrations(60.0, Clock()), MAX_WAITING_CHARS // 8_000
    announced = [uuid4() for _ in range(most)]
    for number, call_id in enumerate(announced):
        registrations.add(call_id, LONGEST, f"192.0.2.{number % 3}")
    with pytest.raises(TooManyRegistrations):
        registrations.add(uuid4(), {"a": "1"})
    registrations.add(announced[5], LONGEST)  # one of them may be announced again
    assert registrations.claim(announced[0]) is not None
    registrations.add(uuid4(), {"a": "1"})
    assert len(registrations) == most


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({f"x{i}": "" for i in range(65)}, "64 variables"),
        ({"x": "y" * 1_001}, "longer than 1000"),
        ({"x" * 65: "y"}, "is no name"),
        ({"x\n": "y"}, "is no name"),
        ({"0": "y"}, "is no name"),
        ({f"x{i}": "y" * 1_000 for i in range(8)}, "8000 characters"),
    ],
)
def test_too_much_is_refused(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Registrations(60.0).add(uuid4(), variables)
