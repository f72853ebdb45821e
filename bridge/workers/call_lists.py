"""One list of calls out of those of several workers. It is made slice by slice: thousands would take long at once."""

from __future__ import annotations

import asyncio
import heapq
import json
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any, Final

from bridge.line.call import State

SLICE: Final = 100
"""How many calls are read before others have their turn: that takes about 1 ms."""
_DECODER: Final = json.JSONDecoder()
_BEFORE_A_CALL: Final = ", \n\r\t"

_Timed = tuple[float, str]
_when: Final = itemgetter(0)


async def joined(lists: Iterable[str], max_ended: int) -> str:
    """Returns the list of all calls in these lists, as JSON: those that ended first, and of them the latest so many.

    Each list is what one worker answers. Raises ValueError where one is no list of calls.
    """
    ended: list[_Timed] = []
    active: list[_Timed] = []
    for one in lists:
        for count, (call, text) in enumerate(_calls(one), 1):
            if call["state"] == State.ENDED:
                ended.append((call["ended_at"], text))
            else:
                active.append((call["started_at"], text))
            if count % SLICE == 0:
                await asyncio.sleep(0)
        ended = heapq.nlargest(max_ended, ended, key=_when)
        await asyncio.sleep(0)
    ended.reverse()
    active.sort(key=_when)
    return f'{{"object": "list", "data": [{", ".join(text for _, text in (*ended, *active))}]}}'


def _calls(answer: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Gives each call of a list, read and as it stands there: so it need not be written anew."""
    start = answer.index("[") + 1
    while (start := _skipped(answer, start)) < len(answer) and answer[start] != "]":
        call, end = _DECODER.raw_decode(answer, start)
        yield call, answer[start:end]
        start = end


def _skipped(answer: str, start: int) -> int:
    while start < len(answer) and answer[start] in _BEFORE_A_CALL:
        start += 1
    return start
