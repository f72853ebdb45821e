"""The timer on a real event loop."""

import asyncio
import time

import pytest

from bridge.line.timer import Timer


@pytest.fixture
async def fired():
    """A timer and the queue of the times at which it called back."""
    times = asyncio.Queue()
    timer = Timer(asyncio.get_running_loop(), lambda: times.put_nowait(time.monotonic()))
    yield timer, times
    timer.close()


async def test_fires_once_not_before_its_time(fired):
    timer, times = fired
    at_s = time.monotonic() + 0.03
    timer.arm(at_s)
    assert await asyncio.wait_for(times.get(), 30) >= at_s
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(times.get(), 0.05)


async def test_a_time_that_is_past_fires_at_once(fired):
    timer, times = fired
    armed_s = time.monotonic()
    timer.arm(armed_s - 10)
    assert armed_s <= await asyncio.wait_for(times.get(), 30)
    assert times.empty(), "and once"


async def test_arming_again_moves_the_time(fired):
    timer, times = fired
    timer.arm(time.monotonic() + 60)
    at_s = time.monotonic() + 0.01
    timer.arm(at_s)
    assert at_s <= await asyncio.wait_for(times.get(), 30)
    assert times.empty(), "and once"


async def test_a_closed_timer_is_silent():
    times = asyncio.Queue()
    timer = Timer(asyncio.get_running_loop(), lambda: times.put_nowait(None))
    timer.arm(time.monotonic() + 0.01)
    timer.close()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(times.get(), 0.05)
