"""Another process on the same GPU that works in bursts, as a recogniser of whisper's size does with each utterance.

    python -m benchmarks.gpu.neighbour BURST_S EVERY_S

A burst is as many products of large matrices as take BURST_S alone. It begins every EVERY_S, or at once after one that
took longer. When standard input ends it prints the milliseconds of each burst.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import torch

from benchmarks.gpu.green_context import MULTIPROCESSORS, enter

SIDE = 2048


@contextlib.contextmanager
def neighbour(burst_s: float, every_s: float) -> Iterator[list[float]]:
    """Runs one until the end of the block; then the seconds of its bursts are there."""
    found: list[float] = []
    if not burst_s:
        yield found
        return
    command = [sys.executable, "-m", "benchmarks.gpu.neighbour", str(burst_s), str(every_s)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdout.readline()  # it has measured how much a burst is, alone
        yield found
    finally:
        process.stdin.close()
        found += [float(each) / 1e3 for each in process.stdout.read().split()]
        process.wait()


def main(burst_s: float, every_s: float) -> None:
    if multiprocessors := os.environ.get(MULTIPROCESSORS):
        enter(int(multiprocessors))
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    a, b, c = (torch.randn(SIDE, SIDE, device="cuda").bfloat16() for _ in range(3))

    def burst(products: int) -> float:
        begin = time.perf_counter()
        for _ in range(products):
            torch.mm(a, b, out=c)
        torch.cuda.synchronize()
        return time.perf_counter() - begin

    burst(100)
    products = max(1, int(1000 * burst_s / burst(1000)))
    print("ready", flush=True)
    took_s = []
    due_s = time.perf_counter()
    while not over.wait(max(0.0, due_s - time.perf_counter())):
        took_s.append(burst(products))
        due_s = max(due_s + every_s, time.perf_counter())
    print(*(f"{each * 1e3:.1f}" for each in took_s), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]))
