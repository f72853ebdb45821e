"""Many pieces of work at one moment are done a few in a turn of the event loop, the most urgent first."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from engine.loop_share import SHARE_S, STEP_S, LoopShare

CALL, HTTP = 0, 1


class Work:
    """Takes time on a clock of its own, and notes who did it in which turn of the loop."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.turn = 0
        self.done: list[tuple[int, str]] = []

    def clock(self) -> float:
        return self.now_s

    def do(self, name: str, takes_s: float) -> str:
        self.now_s += takes_s
        self.done.append((self.turn, name))
        return name

    async def turns(self, number: int) -> None:
        for _ in range(number):
            self.turn += 1
            await asyncio.sleep(0)


@pytest.fixture
def work() -> Work:
    return Work()


async def test_one_piece_is_done_at_once(work: Work) -> None:
    share = LoopShare(asyncio.get_running_loop(), work.clock)
    assert await share.do(partial(work.do, "it", SHARE_S), HTTP) == "it"
    assert work.done == [(0, "it")]


async def test_a_turn_has_time_for_so_much_of_all_of_them_together(work: Work) -> None:
    share = LoopShare(asyncio.get_running_loop(), work.clock)
    tasks = [asyncio.create_task(share.do(partial(work.do, f"{n}", SHARE_S / 2), HTTP)) for n in range(64)]
    await work.turns(100)
    assert [task.result() for task in tasks] == [f"{n}" for n in range(64)]
    turns = [turn for turn, _ in work.done]
    assert max(map(turns.count, turns)) == 2
    assert turns[-1] - turns[0] == 31


async def test_the_most_urgent_goes_first(work: Work) -> None:
    share = LoopShare(asyncio.get_running_loop(), work.clock)
    tasks = [asyncio.create_task(share.do(partial(work.do, "http", SHARE_S), HTTP)) for _ in range(8)]
    await work.turns(2)
    tasks.append(asyncio.create_task(share.do(partial(work.do, "call", SHARE_S), CALL)))
    await work.turns(20)
    await asyncio.gather(*tasks)
    assert [name for _, name in work.done].index("call") <= 3


async def test_an_error_is_told_to_whoever_brought_the_work_and_to_nobody_else(work: Work) -> None:
    share = LoopShare(asyncio.get_running_loop(), work.clock)

    def fail() -> None:
        work.do("failed", SHARE_S)
        raise ValueError

    tasks = [asyncio.create_task(share.do(fail, HTTP)) for _ in range(3)]
    tasks.append(asyncio.create_task(share.do(partial(work.do, "good", SHARE_S), HTTP)))  # type: ignore[arg-type]
    await work.turns(10)
    *failed, good = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(error, ValueError) for error in failed)
    assert good == "good"


async def test_nothing_is_done_for_who_left(work: Work) -> None:
    share = LoopShare(asyncio.get_running_loop(), work.clock)
    share.later(partial(work.do, "first", SHARE_S), CALL)  # type: ignore[arg-type]
    leaving = asyncio.create_task(share.do(partial(work.do, "left", 0.0), HTTP))
    job = share.later(partial(work.do, "cancelled", 0.0), HTTP)  # type: ignore[arg-type]
    await asyncio.sleep(0)
    leaving.cancel()
    job.cancel()
    await work.turns(5)
    assert [name for _, name in work.done] == ["first"]


async def test_steps_of_many_tasks_are_spread_over_the_turns(work: Work) -> None:
    share = LoopShare(asyncio.get_running_loop(), work.clock)

    async def step() -> None:
        await share.turn(HTTP)
        work.do("step", 0.0)

    tasks = [asyncio.create_task(step()) for _ in range(256)]
    await work.turns(40)
    await asyncio.gather(*tasks)
    turns = [turn for turn, _ in work.done]
    assert max(map(turns.count, turns)) <= SHARE_S / STEP_S + 1


async def test_work_that_brings_more_leaves_it_for_the_next_turn(work: Work) -> None:
    share = LoopShare(asyncio.get_running_loop(), work.clock)

    def again(left: int) -> None:
        work.do(f"{left}", 0.0)
        if left:
            share.later(partial(again, left - 1), CALL)

    share.later(partial(again, 3), CALL)
    await work.turns(10)
    turns = [turn for turn, _ in work.done]
    assert len(set(turns)) == 4
