"""Measures what a frame costs a call that waits, with a soft sound and without: python -m benchmarks.waiting_sound

Processor time of one thread, so that other work on the machine counts for little; medians of rounds that take turns.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

from benchmarks.machine import facts
from benchmarks.table import markdown
from bridge.conversation.sounds import thinking
from bridge.line.playout import Playout

FRAMES = 5_000
SOUND_DB = -34.0
"""As `THINKING_SOUND_DB` is where nobody sets it."""


def taken_us(playout: Playout) -> float:
    """Returns the processor time of one frame."""
    begun_s = time.thread_time()
    for _ in range(FRAMES):
        playout.tick(begun_s)
    return (time.thread_time() - begun_s) * 1e6 / FRAMES


def run(rounds: int) -> None:
    """Measures and prints."""
    print(markdown([("machine", ""), *facts()]))
    silent, sounding = Playout(), Playout()
    sounding.background.play(thinking("soft", SOUND_DB), 0)
    timed = [(taken_us(silent), taken_us(sounding)) for _ in range(rounds)]
    rows = [
        (name, f"{median(us):.2f}", f"{min(us):.2f}")
        for name, us in zip(("silence", "the soft sound"), zip(*timed, strict=True), strict=True)
    ]
    print("\n" + markdown([("a frame of", "µs, median", "least"), *rows]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    run(parser.parse_args().rounds)
