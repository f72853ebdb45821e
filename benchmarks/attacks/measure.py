"""One attack on a server of its own, and what it did."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from benchmarks.attacks.bystanders import Figures, placed
from benchmarks.attacks.target import KEY, Answers, Attack, Target
from benchmarks.attacks.watch import Watch
from bridge.converse.server_process import running_server
from bridge.dial.caller import CannotCall

SETTINGS: Final = {"API_KEY": KEY, "BACKCHANNELS": "en,zh", "GREETING": "Hello {name}."}
"""All else is at its default: the embedded voice, and every limit."""
AFTER_S: Final = 1.0
"""How long the calls are listened to after an attack."""


@dataclass(frozen=True, slots=True)
class Result:
    """What an attack did."""

    name: str
    figures: Figures
    before_bytes: int
    peak_bytes: int
    cpu_s: float
    waited_share: float
    """Of the time, how much the server waited for a core that others had: what it is not to blame for."""
    answers: Answers

    @property
    def missing_share(self) -> float:
        """Frames that ten other calls did not get, of those that were due."""
        return self.figures.missing / self.figures.expected

    @property
    def growth_bytes(self) -> int:
        """By how much the server and its children grew at most."""
        return self.peak_bytes - self.before_bytes


async def measure(attack: Attack, seconds: float) -> Result:
    """Attack for `seconds`, beside ten calls."""
    answers: Answers = Counter()
    async with attack.service() as settings, running_server(module=attack.server, **SETTINGS | settings) as server:
        target = Target(server.host, server.port, urlsplit(server.http_url).port or 0)
        async with placed(target) as bystanders:
            watch = Watch(server.pid)
            try:
                await _attack(attack, target, answers, watch, max(seconds, attack.least_s))
                await asyncio.sleep(AFTER_S)
                figures = await bystanders.figures()
                cpu_s, waited_share = watch.cpu_s(), watch.waited_share()
            finally:
                watch.close()
    return Result(attack.name, figures, watch.before_bytes, watch.peak_bytes, cpu_s, waited_share, answers)


async def _attack(attack: Attack, target: Target, answers: Answers, watch: Watch, seconds: float) -> None:
    """Until it ends, its time is up, or the server has grown too far."""
    attacking = asyncio.ensure_future(attack.run(target, answers))
    troubled = asyncio.create_task(watch.troubled.wait())
    await asyncio.wait((attacking, troubled), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    troubled.cancel()
    attacking.cancel()
    (error,) = await asyncio.gather(attacking, return_exceptions=True)
    if watch.trouble:
        answers[watch.trouble] += 1
    match error:
        case None | asyncio.CancelledError():
            pass
        case ConnectionError() | EOFError() | CannotCall():
            answers["not taken"] += 1
        case _:
            raise error
