"""`talkspurt serve` that also tells what it holds: GET /held. Run with `serve`.

It keeps fewer ended calls than the product: what has a bound is to be full before growth is measured.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from collections import Counter
from contextlib import suppress
from functools import partial

from aiohttp import web

from benchmarks.machine import memory_bytes
from benchmarks.soak_watch import MIB
from bridge.__main__ import main
from bridge.app import App
from bridge.conversation import calls

ENDED_KEPT = 50
USED_KEPT = 500
_web_app = App._web_app


async def _held(app: App, request: web.Request) -> web.Response:
    gc.collect()
    open_ones = _descriptors()
    held = {
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "sockets": open_ones["socket"],
        "files and pipes": open_ones.total() - open_ones["socket"],
        "ticks on the clock": int(app.audiosocket.clock.next_s() is not None),
        "sentences in the engine": app.engine.status().queue_depth,
        "objects": len(gc.get_objects()),
        "memory in MiB": memory_bytes(os.getpid()) // MIB,
    }
    return web.json_response(held)


def _descriptors() -> Counter[str]:
    """Returns how many of each kind this process has open."""
    kinds = Counter[str]()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the one by which the names were read is closed again
            kinds[os.readlink(f"/proc/self/fd/{name}").partition(":")[0]] += 1
    return kinds


def _with_held(app: App) -> web.Application:
    made = _web_app(app)
    made.router.add_get("/held", partial(_held, app))
    return made


if __name__ == "__main__":
    App._web_app = _with_held  # type: ignore[method-assign]
    calls.ENDED_KEPT, calls.USED_KEPT = ENDED_KEPT, USED_KEPT  # type: ignore[misc]
    sys.exit(main())
