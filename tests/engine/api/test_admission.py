"""Who gets a place among the requests whose audio is being made, and who loses it."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress

import pytest

from engine.api.admission import BEHIND_S, Admission
from engine.api.pace import Pace, SlowReader
from engine.web.errors import ApiError

PLACES = 64


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Crowd:
    """Clients that take places and keep them."""

    def __init__(self, places: int = PLACES) -> None:
        self.admission = Admission(places, "requests")
        self.clock = Clock()
        self._places = ExitStack()

    def enter(self, address: str) -> Pace:
        pace = Pace(30.0, self.clock)
        self._places.enter_context(self.admission.place(address, pace))
        return pace

    def fill(self, address: str) -> list[Pace]:
        paces = []
        with suppress(ApiError):
            while True:
                paces.append(self.enter(address))
        return paces

    def leave(self) -> None:
        self._places.close()


async def _never() -> None:
    await asyncio.Event().wait()


async def _reading(pace: Pace, duration_s: float = 0.0) -> asyncio.Task[None]:
    """A client that does not take what it is sent."""
    task = asyncio.create_task(pace.send(_never(), duration_s))
    await asyncio.sleep(0)
    return task


def test_one_address_leaves_room_for_others() -> None:
    crowd = Crowd()
    assert len(crowd.fill("10.0.0.1")) == PLACES * 7 // 8
    for number in range(2, 6):
        crowd.enter(f"10.0.0.{number}")
    crowd.leave()
    assert crowd.admission.taken == 0


def test_a_single_place_is_anybodys() -> None:
    crowd = Crowd(1)
    assert len(crowd.fill("10.0.0.1")) == 1
    with pytest.raises(ApiError) as refusal:
        crowd.enter("10.0.0.2")
    assert (refusal.value.status, refusal.value.code) == (503, "QUEUE_FULL")


def test_without_a_limit_everyone_gets_a_place() -> None:
    crowd = Crowd(0)
    for _ in range(1_000):
        crowd.enter("10.0.0.1")
    assert crowd.admission.taken == 1_000


async def test_whoever_is_furthest_behind_loses_his_place() -> None:
    crowd = Crowd(8)
    paces = crowd.fill("10.0.0.1")
    waiting = [await _reading(pace, float(number == 0)) for number, pace in enumerate(paces)]
    crowd.clock.now_s += BEHIND_S
    with pytest.raises(ApiError):
        crowd.enter("10.0.0.1")
    crowd.clock.now_s += 0.5
    waiting.append(await _reading(crowd.enter("10.0.0.1")))
    (given_up,), _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert isinstance(given_up.exception(), SlowReader)
    assert given_up is not waiting[0], "it has audio to play meanwhile"
    assert crowd.admission.taken == len(paces)
    for task in waiting:
        task.cancel()


async def test_others_places_are_safe_where_only_an_address_has_enough() -> None:
    crowd = Crowd(16)
    waiting = await _reading(crowd.enter("10.0.0.2"))
    crowd.fill("10.0.0.1")
    crowd.clock.now_s += 2 * BEHIND_S
    with pytest.raises(ApiError):
        crowd.enter("10.0.0.1")
    assert not waiting.done()
    waiting.cancel()
