"""Some of the listeners of `benchmarks.two_gpus`, in a process of their own.

    python -m benchmarks.two_gpus_listeners PLAN

Each is a call without a telephone: it asks replicas for one sentence after the other, as a bridge does. A free one asks
for the next as soon as the last is made. A paced one does once that begins to be played, and after every second
sentence it waits until all is played, and for a second more. PLAN is the JSON of a `Plan`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import uvloop

from bridge.logs import set_up_logs
from engine.replicas.address import Address
from engine.replicas.engine import ReplicasEngine
from engine.speech import Engine, Priority, SpeechError, Style

TEXT: Final = "Your parcel will be with you by noon."
SENTENCES: Final = 2
REST_S: Final = 1.0
AGAIN_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """What the listeners of one process do; times are of the monotonic clock."""

    ports: list[int]
    listeners: int
    paced: bool
    begin_s: float
    joined_s: float
    from_s: float
    until_s: float
    seed: int
    out: str


@dataclass(slots=True)
class Heard:
    """One sentence that came to its end, or to an error."""

    listener: str
    asked_s: float
    first_s: float = 0.0
    """When its first sound came."""
    ended_s: float = 0.0
    samples: int = 0
    fresh: bool = False
    """Whether nothing was being played when it was asked for."""
    gaps: list[tuple[float, float]] = field(default_factory=list)
    """When a piece came too late, and by how many seconds."""
    error: str = ""


@dataclass(slots=True)
class Found:
    """What the listeners of one process found."""

    sentences: list[Heard] = field(default_factory=list)
    pieces: list[tuple[float, int]] = field(default_factory=list)
    """When each piece of sound came, and its samples."""
    moved: int = 0


class Listener:
    """One of them."""

    def __init__(self, name: str, engine: Engine, plan: Plan, found: Found) -> None:
        self._name, self._engine, self._plan, self._found = name, engine, plan, found
        self._plays_until_s = 0.0

    async def listen(self, at_s: float) -> None:
        """Asks for sentences until the plan is over."""
        await asyncio.sleep(at_s - time.monotonic())
        number = 0
        while time.monotonic() < self._plan.until_s:
            number += 1
            await self._sentence()
            if self._plan.paced and number % SENTENCES == 0:
                await asyncio.sleep(self._plays_until_s + REST_S - time.monotonic())

    async def _sentence(self) -> None:
        paced, now_s = self._plan.paced, time.monotonic()
        heard = Heard(self._name, now_s, fresh=self._plays_until_s <= now_s)
        needed_at_s = max(now_s, self._plays_until_s) if paced else None
        style = Style(priority=Priority.CALL, needed_at_s=needed_at_s, listener=self._name)
        begins_s = 0.0
        try:
            async for pcm in self._engine.stream(TEXT, style):
                now_s = time.monotonic()
                self._found.pieces.append((now_s, pcm.size))
                if not heard.samples:
                    heard.first_s, begins_s = now_s, max(now_s, self._plays_until_s)
                elif now_s > self._plays_until_s:
                    heard.gaps.append((now_s, now_s - self._plays_until_s))
                heard.samples += pcm.size
                self._plays_until_s = max(now_s, self._plays_until_s) + pcm.size / self._engine.sample_rate_hz
        except SpeechError as error:
            heard.error = f"{type(error).__name__}: {error}"
            await asyncio.sleep(AGAIN_S)
        heard.ended_s = time.monotonic()
        self._found.sentences.append(heard)
        if paced:
            await asyncio.sleep(begins_s - time.monotonic())


async def run(plan: Plan) -> Found:
    """Listens, and returns what was found."""
    found, chance = Found(), Random(plan.seed)
    engine = ReplicasEngine([Address("127.0.0.1", port, tls=False) for port in plan.ports])
    await engine.start()
    gc.collect()
    gc.freeze()
    listeners = [Listener(f"{plan.seed}.{number}", engine, plan, found) for number in range(plan.listeners)]
    tasks = [asyncio.create_task(each.listen(chance.uniform(plan.begin_s, plan.joined_s))) for each in listeners]
    await asyncio.sleep(plan.until_s - time.monotonic())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    found.moved = engine.status().details["sentences_moved"]
    await engine.close()
    return found


def found_of(plan: Plan) -> Found:
    """Returns what the process with that plan found."""
    told: dict[str, Any] = pickle.loads(Path(plan.out).read_bytes())
    return Found([Heard(**each) for each in told["sentences"]], told["pieces"], told["moved"])


def main() -> None:
    set_up_logs("text", "critical")  # hundreds of sentences may fail at once, and are counted
    plan = Plan(**json.loads(sys.argv[1]))
    Path(plan.out).write_bytes(pickle.dumps(asdict(uvloop.run(run(plan)))))


if __name__ == "__main__":
    main()
