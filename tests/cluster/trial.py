"""Calls that go on while something is done to a part of their cluster, and what their callers noticed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final
from uuid import uuid4

import aiohttp

from tests.cluster.dialplan import Dialplan
from tests.cluster.faults import LASTS_S, Fault
from tests.cluster.neighbours import neighbours
from tests.cluster.rig import Cluster
from tests.cluster.telephone import Telephone
from tests.support.waiting import eventually

NEWCOMERS_EVERY_S: Final = 0.25
"""How often a new call is announced meanwhile."""
ALL_S: Final = 90.0
"""How long all calls may take to come as far as they are waited for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many call, and how patiently."""

    calls: int
    pages_after: int = 2
    """How many pages each caller has begun to have read after the fault."""
    come_within_s: float = 1.0
    patience_s: float = 15.0
    hangs_after_s: float = 1.0
    """How long a server may take to answer the dialplan's watch."""


@dataclass(slots=True)
class Seen:
    """What came of it. Lists may be joined over several trials."""

    calls: int = 0
    cut: int = 0
    """Calls whose connection was lost."""
    lost: int = 0
    """Calls that went to the fallback."""
    words: int = 0
    """Words that were asked for."""
    words_lost: int = 0
    words_twice: int = 0
    words_again: int = 0
    """Words that were said again of what was cut off."""
    strange_frames: int = 0
    """Frames in another voice, such as the embedded one that speaks where no replica does."""
    moved: int = 0
    """Sentences that another replica went on with."""
    silences_s: list[float] = field(default_factory=list)
    """The longest silence of each call in the middle of a page, where it was not cut off."""
    waits_s: list[float] = field(default_factory=list)
    """How long each page took to begin, where its call was not cut off."""
    resumed_s: list[float] = field(default_factory=list)
    """How long after the fault each call was spoken to again that was cut off."""
    newcomers: int = 0
    refused: int = 0
    refused_until_s: float = 0.0
    """How long after the fault a new call was refused last."""


async def try_fault(cluster: Cluster, fault: Fault, plan: Plan, chance: Random) -> Seen:
    """Places the calls, does it, and waits until each caller has heard enough. The cluster has to be whole.

    Raises an ExceptionGroup of TimeoutError where callers do not come to their end.
    """
    connector = aiohttp.TCPConnector(limit=0)
    async with neighbours(cluster.neighbours_port) as these, aiohttp.ClientSession(connector=connector) as http:
        dialplan = Dialplan(cluster.chain, http)
        phones = [
            Telephone(dialplan, these, patience_s=plan.patience_s, hangs_after_s=plan.hangs_after_s)
            for _ in range(plan.calls)
        ]
        newcomers = Newcomers(dialplan)
        async with asyncio.TaskGroup() as group:
            talking = [group.create_task(_come(phone, chance.uniform(0, plan.come_within_s))) for phone in phones]
            async with asyncio.timeout(ALL_S):
                await asyncio.gather(*(phone.is_read_to.wait() for phone in phones))
            coming, moved = group.create_task(newcomers.run()), await cluster.sentences_moved()
            await fault.begin(cluster)
            began_s = time.monotonic()
            if fault.end is not None:
                await asyncio.sleep(LASTS_S)
                await fault.end(cluster)
            far = [len(phone.asked) + plan.pages_after for phone in phones]

            async def have_heard_enough() -> bool:
                each = zip(phones, talking, far, strict=True)
                return all(task.done() or len(phone.asked) >= pages for phone, task, pages in each)

            await eventually(have_heard_enough, ALL_S)
            coming.cancel()
            for phone in phones:
                phone.has_had_enough = True
            async with asyncio.timeout(ALL_S):
                await asyncio.gather(*talking)
    seen = _seen(phones, newcomers, began_s)
    seen.moved = sum(count - moved.get(name, count) for name, count in (await cluster.sentences_moved()).items())
    return seen


class Newcomers:
    """New calls that are announced, and never connect."""

    def __init__(self, dialplan: Dialplan) -> None:
        self.count = 0
        self.refused_s: list[float] = []
        """When each was that no server took."""
        self._dialplan = dialplan

    async def run(self) -> None:
        """Announces one after the other, until it is cancelled."""
        while True:
            began_s = time.monotonic()
            for door in self._dialplan.chain:
                if await self._dialplan.announce(door, uuid4(), {}):
                    break
            else:
                self.refused_s.append(time.monotonic())
            self.count += 1
            await asyncio.sleep(max(0.0, NEWCOMERS_EVERY_S - (time.monotonic() - began_s)))


async def _come(phone: Telephone, after_s: float) -> None:
    await asyncio.sleep(after_s)
    await phone.talk()


def _seen(phones: Sequence[Telephone], newcomers: Newcomers, began_s: float) -> Seen:
    seen = Seen(calls=len(phones), newcomers=newcomers.count, refused=len(newcomers.refused_s))
    seen.refused_until_s = max((at_s - began_s for at_s in newcomers.refused_s), default=0.0)
    for phone in phones:
        seen.cut += bool(phone.cut_s)
        seen.lost += phone.is_lost
        seen.strange_frames += phone.ear.strange_frames
        seen.resumed_s += [at_s - began_s for at_s in phone.resumed_s]
        for asked in phone.asked:
            seen.words += len(asked.codes)
            seen.words_lost += asked.lost(phone.ear)
            if asked.was_cut:
                seen.words_again += asked.twice(phone.ear)
            else:
                seen.words_twice += asked.twice(phone.ear)
        late = [asked for asked in phone.asked if asked.ends_after(phone.ear, began_s)]
        if not phone.cut_s:
            seen.silences_s.append(max((asked.longest_silence_s(phone.ear) for asked in late), default=0.0))
            begun = [(asked.first_word_s(phone.ear), asked.asked_s) for asked in late]
            seen.waits_s += [first_s - asked_s for first_s, asked_s in begun if first_s is not None]
    return seen
