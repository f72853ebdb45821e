"""CUDA events that the host waits for."""

from __future__ import annotations

import os
from typing import Final

import torch

FEW_CORES: Final = 8
"""On a host with so many cores or fewer a wait sleeps. To spin is some microseconds quicker and takes a whole core,
which calls, a recogniser or the language model then lack."""


def few_cores() -> bool:
    """Tells whether this process may use few cores only."""
    return len(os.sched_getaffinity(0)) <= FEW_CORES


def event() -> torch.cuda.Event:
    """Returns an event to wait for, which does not spin where cores are few."""
    made: torch.cuda.Event = torch.cuda.Event(blocking=few_cores())  # type: ignore[no-untyped-call]
    return made
