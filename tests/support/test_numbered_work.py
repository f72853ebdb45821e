"""Numbered work is done whole, whoever dies over it."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.support.numbered_work import Failed, in_processes


def _square(number: int) -> int:
    match number:
        case 13:
            os.kill(os.getpid(), signal.SIGKILL)
        case 17:
            raise ValueError("no such number")
        case 19:
            time.sleep(3_600)
    return number * number


@pytest.mark.parametrize("jobs", [1, 3])
def test_each_number_is_done_once_and_in_whatever_process(jobs: int) -> None:
    assert dict(in_processes(_square, range(12), jobs)) == {number: number * number for number in range(12)}


def test_one_process_gets_its_numbers_in_their_order() -> None:
    assert [number for number, _ in in_processes(_square, range(5), 1)] == [0, 1, 2, 3, 4]


def test_a_number_over_which_a_process_dies_has_failed_and_the_others_are_done() -> None:
    done = dict(in_processes(_square, range(10, 17), 2))
    assert done.pop(13) == Failed("its process ended with status -9")
    assert done == {number: number * number for number in (10, 11, 12, 14, 15, 16)}


def test_an_error_is_told_with_its_place() -> None:
    done = dict(in_processes(_square, range(16, 19), 1))
    assert isinstance(done[17], Failed)
    assert "_square" in done[17].reason
    assert "no such number" in done[17].reason
    assert done[18] == 324


def test_a_number_that_is_never_done_is_given_up() -> None:
    done = dict(in_processes(_square, (19, 20), 1, longest_s=1.0))
    assert done == {19: Failed("it was not done after 1 s"), 20: 400}


def test_nothing_is_handed_out_once_the_time_is_over() -> None:
    assert list(in_processes(_square, range(5), 2, until_s=time.monotonic() - 1.0)) == []
