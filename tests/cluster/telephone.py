"""A caller who has one page after the other read out, and goes on where the call goes on after it was cut off."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from enum import Enum, auto
from functools import cache
from typing import Final
from uuid import UUID, uuid4

import numpy as np
from py_nanotts import NanoTTS

from bridge.commands.dialplan_resume import CUTS
from bridge.commands.dialplan_text import WATCH_S
from bridge.dial.caller import CannotCall
from engine.audio import resample
from engine.speech import Pcm
from tests.cluster.dialplan import After, Dialplan, Door
from tests.cluster.ear import RATE_HZ, Ear
from tests.cluster.line import Ended, Line
from tests.cluster.neighbours import Neighbours
from tests.cluster.pages import Asked
from tests.cluster.words import CUT_OFF, FIRST_CODE, GREETING, question

THINKS_S: Final = 0.3
QUIET_S: Final = 1.0
"""Silence after which a caller who was told of the cut takes the agent for done."""
ASKS: Final = 3
"""How often a page is asked for in whose middle the call was cut off."""
ABOUT: Final = {"from": "5551234", "name": "Ada"}


class End(Enum):
    """How a connection ended."""

    LEFT = auto()
    """The caller had heard enough."""
    HUNG = auto()
    """The server did not answer any more."""
    CLOSED = auto()
    """The server's side ended."""


class Telephone:
    """One caller. `talk` places the call and lasts until the caller has had enough, or a human takes over."""

    def __init__(self, dialplan: Dialplan, neighbours: Neighbours, *, patience_s: float, hangs_after_s: float) -> None:
        """A caller waits `patience_s` for the next word. A server hangs that takes `hangs_after_s` to say so."""
        self.ear = Ear()
        self.asked: list[Asked] = []
        self.cut_s: list[float] = []
        """When its call was cut off, each time."""
        self.resumed_s: list[float] = []
        """When it was spoken to again, each time."""
        self.is_lost = False
        """The fallback has the call."""
        self.has_had_enough = False
        """The caller leaves once the page is read."""
        self.is_read_to = asyncio.Event()
        """Set while a page is read out."""
        self._dialplan, self._neighbours = dialplan, neighbours
        self._patience_s, self._hangs_after_s = patience_s, hangs_after_s

    async def talk(self) -> None:
        """Places the call, and once more each time that it was cut off."""
        about = dict(ABOUT)
        for _ in range(1 + CUTS):
            self.is_read_to.clear()
            cut = await self._offer(about)
            if cut is None:
                return
            self.cut_s.append(time.monotonic())
            for asked in self.asked[-2:]:  # the agent reads one of them again: whether it heard the latter is not known
                asked.was_cut = True
            about |= {"continues": str(cut), "cut_off": "1"}
        self.is_lost = True

    async def _offer(self, about: dict[str, str]) -> UUID | None:
        """Offers the call to each server. Returns its id if it was cut off; None when it is over."""
        call_id = uuid4()
        for door in self._dialplan.chain:
            if not await self._dialplan.announce(door, call_id, about):
                continue
            end = await self._connect(door, call_id, is_resumed="continues" in about)
            if end is End.LEFT:
                return None
            after = After.CUT if end is End.HUNG else await self._dialplan.after(door, call_id)
            if after is After.CUT:
                return call_id
            if after is After.TAKEN:
                break
        self.is_lost = True
        return None

    async def _connect(self, door: Door, call_id: UUID, *, is_resumed: bool) -> End:
        line = Line(call_id, self.ear, self._patience_s)
        with suppress(CannotCall):
            await line.connect(door.audiosocket_port)
            watching = asyncio.create_task(self._watch(door))
            talking = asyncio.create_task(self._converse(line, is_resumed))
            try:
                await asyncio.wait((watching, talking), return_when=asyncio.FIRST_COMPLETED)
                end = talking.result() if talking.done() else End.HUNG
                line.caller.hang_up()
                if end is End.LEFT:
                    await line.caller.ended.wait()
                return end
            finally:
                for task in (watching, talking):
                    task.cancel()
                await asyncio.gather(watching, talking, return_exceptions=True)
        return End.CLOSED

    async def _watch(self, door: Door) -> None:
        """Lasts as long as the server answers: of two questions in a row, one."""
        answered = True
        while answered:
            await asyncio.sleep(WATCH_S)
            answers = [await self._dialplan.answers(door, self._hangs_after_s) for _ in range(2)]
            answered = any(answers)

    async def _converse(self, line: Line, is_resumed: bool) -> End:
        """Has page after page read out."""
        place = len(self.ear.words)
        first = FIRST_CODE + (CUT_OFF if is_resumed else GREETING)
        try:
            spoken_to = await line.until(lambda: self.ear.times(first, place) > 0)
            if is_resumed and spoken_to:
                self.resumed_s.append(self.ear.words[place].start_s)
            await line.until(lambda: time.monotonic() - self.ear.voiced_s > (QUIET_S if is_resumed else THINKS_S))
            while (asked := self._next_page()) is not None:
                await self._have_read(line, asked)
            return End.LEFT
        except Ended:
            return End.CLOSED

    def _next_page(self) -> Asked | None:
        """Returns what is to be asked for: what was cut off, if it was not read anew without a question."""
        latest = self.asked[-1] if self.asked else None
        if latest is not None and latest.was_cut and not latest.is_whole(self.ear) and latest.times < ASKS:
            return latest
        if self.has_had_enough:
            return None
        self.asked.append(Asked(latest.page + 1 if latest is not None else 1, len(self.ear.words)))
        return self.asked[-1]

    async def _have_read(self, line: Line, asked: Asked) -> None:
        await line.hear_for(THINKS_S)
        self._neighbours.tell(str(line.caller.id), question(asked.page))
        asked.times += 1
        asked.asked_s, place = line.caller.speak(caller_voice())[1], len(self.ear.words)
        try:
            if await line.until(lambda: any(word.code in asked.codes for word in self.ear.words[place:])):
                self.is_read_to.set()
                await line.until(lambda: asked.is_whole(self.ear))
        finally:
            self.is_read_to.clear()


@cache
def caller_voice() -> Pcm:
    """Returns what every caller says, as sound: the recogniser is told the words."""
    pcm = np.frombuffer(NanoTTS().speak("Please read it.", voice="en-US", volume=0.4), np.int16)
    voiced = np.flatnonzero(np.abs(pcm) > 200)
    return resample(pcm[voiced[0] : voiced[-1]], 16_000, RATE_HZ)
