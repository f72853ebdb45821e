"""What is at work in the background gets its time at the end, and no more."""

from __future__ import annotations

import asyncio

from bridge.background import BackgroundTasks


async def test_what_ends_in_time_is_waited_for() -> None:
    tasks, may_end = BackgroundTasks(), asyncio.Event()

    async def work() -> str:
        await may_end.wait()
        return "done"

    task = tasks.start(work())
    assert len(tasks) == 1
    asyncio.get_running_loop().call_soon(may_end.set)
    await tasks.close()
    assert task.result() == "done"
    assert len(tasks) == 0


async def test_what_does_not_is_given_up() -> None:
    tasks = BackgroundTasks()
    task = tasks.start(asyncio.sleep(3600))
    await tasks.close(timeout_s=0)
    assert task.cancelled()


async def test_nothing_at_work_is_not_waited_for() -> None:
    tasks = BackgroundTasks()
    await tasks.close(timeout_s=3600)
    assert len(tasks) == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
