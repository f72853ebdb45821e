"""The whole heap is searched for garbage while nobody is on the line, and seldom while somebody is."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from pathlib import Path

import pytest

from bridge.garbage import BUSY_S, GROWN_BYTES, NEVER, QUIET_S, Garbage, resident_bytes


class Searches:
    """Counts the searches of a server with `calls` calls at `now_s`."""

    def __init__(self) -> None:
        self.calls = 0
        self.now_s = 0.0
        self.memory_bytes = 2**30
        self.count = 0
        self.garbage = Garbage(lambda: self.calls, self._search, lambda: self.now_s, lambda: self.memory_bytes)

    def _search(self) -> None:
        self.count += 1

    def pass_s(self, seconds: float) -> int:
        """Lets time pass, a look each second; returns how many searches there were in it."""
        before = self.count
        for _ in range(round(seconds)):
            self.now_s += 1
            self.garbage.look()
        return self.count - before


def test_a_quiet_server_is_searched_now_and_then() -> None:
    assert Searches().pass_s(10 * QUIET_S) == 10


def test_no_call_meets_a_search_but_one_in_ten_minutes() -> None:
    searches = Searches()
    searches.calls = 1
    assert searches.pass_s(BUSY_S - 1) == 0
    assert searches.pass_s(1) == 1
    assert searches.pass_s(BUSY_S - 1) == 0


def test_garbage_is_sought_as_soon_as_the_last_call_is_over() -> None:
    searches = Searches()
    searches.calls = 250
    searches.pass_s(2 * QUIET_S)
    searches.calls = 0
    assert searches.pass_s(1) == 1


def test_memory_that_grows_is_searched_in_the_middle_of_calls_but_once() -> None:
    searches = Searches()
    searches.calls = 1
    searches.memory_bytes += GROWN_BYTES - 1
    assert searches.pass_s(1) == 0
    searches.memory_bytes += 1
    assert searches.pass_s(10) == 1


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells it there")
def test_memory_that_a_process_takes_is_seen() -> None:
    before = resident_bytes()
    taken = bytearray(b"x") * 2**26
    assert resident_bytes() - before > len(taken) / 2


@pytest.mark.asyncio
async def test_python_itself_does_not_search_the_whole_heap_while_the_server_runs() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    running = asyncio.create_task(Garbage(lambda: 0).run())
    try:
        await asyncio.sleep(0)
        assert gc.get_threshold() == (*before[:2], NEVER)
        assert gc.get_freeze_count() > frozen
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        gc.unfreeze()
    assert gc.get_threshold() == before
