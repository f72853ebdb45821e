"""`talkspurt serve` with audio already made, for `benchmarks.workers`: python -m benchmarks.workers_server serve"""

from __future__ import annotations

import sys
from typing import Any

import bridge.app
import bridge.workers.supervisor
from benchmarks.tts_clock_server import MadeEngine
from bridge.__main__ import main


def create_made_engine(*_: Any, **__: Any) -> MadeEngine:
    """Takes the place of `engine.registry.create_engine`."""
    return MadeEngine()


if __name__ == "__main__":
    bridge.app.create_engine = create_made_engine  # type: ignore[attr-defined]
    bridge.workers.supervisor.create_engine = create_made_engine  # type: ignore[attr-defined]
    sys.exit(main())
