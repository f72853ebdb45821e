"""Measures how late a 20 ms tick comes: our timer beside the event loop's own. `python -m benchmarks.timer`"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import numpy as np
import uvloop

from benchmarks.machine import facts
from benchmarks.table import markdown
from bridge.dial.lateness import Spread
from bridge.dial.table import aligned, spread_cells
from bridge.line.clock import TICK_S
from bridge.line.timer import Timer

TICKS = 500


async def lateness_ms(own: bool) -> list[float]:
    """Returns how late each of `TICKS` ticks came, with our timer or with `loop.call_at`."""
    loop = asyncio.get_running_loop()
    late_ms: list[float] = []
    done = asyncio.Event()
    start_s = time.monotonic() + TICK_S

    def tick() -> None:
        due_s = start_s + len(late_ms) * TICK_S
        late_ms.append((time.monotonic() - due_s) * 1000)
        if len(late_ms) == TICKS:
            done.set()
        else:
            arm(due_s + TICK_S)

    timer = Timer(loop, tick)
    arm: Callable[[float], object] = timer.arm if own else lambda at_s: loop.call_later(at_s - time.monotonic(), tick)
    arm(start_s)
    await done.wait()
    timer.close()
    return late_ms


def main() -> None:
    """Print the table."""
    print(aligned(facts()), end="\n\n")
    rows = [("loop", "timer", "p50", "p99", "p99.9", "max")]
    for loop, run in (("asyncio", asyncio.run), ("uvloop", uvloop.run)):
        for own in (True, False):
            spread = Spread.of(np.array(run(lateness_ms(own))))
            rows.append((loop, "timerfd" if own else "the loop's", *spread_cells(spread)))
    print(markdown(rows))


if __name__ == "__main__":
    main()
