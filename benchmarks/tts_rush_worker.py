"""The model's process of `benchmarks.tts_rush`: all of it but the GPU, whose times are an H200's."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.scheduler_sim import H200
from engine.qwen3.batch.runner import End, Made, Runner, Utterance
from engine.qwen3.batch.scheduler import Chunks, Job, Scheduler
from engine.qwen3.batch.slots import Slots
from engine.qwen3.model.checkpoint import Checkpoint
from engine.qwen3.settings import QwenSettings
from engine.qwen3.worker import build as assemble
from engine.qwen3.worker import main as serve
from engine.qwen3.worker import worker

FRAMES = 54
"""Of each sentence, 4.3 s: more than is made ahead."""
FRAME_SAMPLES = 1920
BEAT_S = 0.05
IDLE_S = 0.001


@dataclass(eq=False, slots=True)
class _Call(Job):
    utterance: Utterance = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class _Step:
    decided_s: float
    over_s: float
    chunks: list[Chunks]


class StandIn:
    """A runner that sleeps where a GPU would work, a step behind as the graph runner is, and whose sound is noise."""

    def __init__(self, places: int) -> None:
        self._free = list(range(places))
        self._calls: dict[int, _Call] = {}
        self._scheduler = Scheduler(H200, places)
        self._noise = np.random.default_rng(0).normal(0, 0.1, FRAME_SAMPLES * 8).astype(np.float32)
        self._steps: deque[_Step] = deque()

    @property
    def active(self) -> int:
        return len(self._calls)

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"capacity": self._scheduler.capacity, "told_s": time.monotonic()}

    def admit(self, utterance: Utterance) -> bool:
        if not self._free or not self._scheduler.admits(utterance.priority):
            return False
        utterance.slot = self._free.pop()
        call = self._calls[utterance.slot] = _Call(utterance.priority, time.monotonic(), utterance=utterance)
        self._scheduler.add(call)
        return True

    def remove(self, utterance: Utterance) -> None:
        call = self._calls.get(utterance.slot)
        if call is not None and call.utterance is utterance:
            del self._calls[utterance.slot]
            self._scheduler.remove(call)
            self._free.append(utterance.slot)

    def step(self) -> list[Made]:
        now_s = time.monotonic()
        jobs = self._scheduler.frames(now_s)
        self._scheduler.made(jobs, now_s)
        for job in jobs:
            job.finished = job.made >= FRAMES
        chunks = self._scheduler.sounds(now_s)
        for chunk in chunks:
            self._scheduler.sounded(chunk.jobs, chunk.frames)
        if jobs or chunks:
            sound_s = sum(len(chunk.jobs) * chunk.frames for chunk in chunks) * H200.sound_s
            begun_s = max(now_s, self._steps[-1].over_s) if self._steps else now_s
            takes_s = (H200.frame(len(jobs)) if jobs else 0.0) + sound_s
            self._steps.append(_Step(now_s, begun_s + takes_s, chunks))
        elif not self._steps:
            time.sleep(IDLE_S)
        made = []
        while len(self._steps) > bool(jobs or chunks):
            made += self._collect(self._steps.popleft())
        return made

    def _collect(self, step: _Step) -> list[Made]:
        time.sleep(max(0.0, step.over_s - time.monotonic()))
        now_s = time.monotonic()
        self._scheduler.took(now_s - step.decided_s)
        made = []
        for chunk in step.chunks:
            calls: tuple[_Call, ...] = chunk.jobs  # type: ignore[assignment]
            for call in calls:
                if self._calls.get(call.utterance.slot) is not call:
                    continue
                self._scheduler.delivered(call, now_s)
                end = End.BUDGET if call.finished and not call.waiting else None
                made.append(Made(call.utterance, self._noise[: FRAME_SAMPLES * chunk.frames], end))
                if end is not None:
                    self.remove(call.utterance)
        return made


def stand_in(checkpoint: Checkpoint, settings: QwenSettings) -> tuple[Slots, Runner]:
    slots = Slots(checkpoint.model, checkpoint.codec, 1, settings.max_positions, settings.max_positions, 2**20)
    return slots, StandIn(settings.max_batch)


if __name__ == "__main__":
    torch.set_num_threads(1)
    assemble._plain_runner = stand_in
    assemble.warm_up = lambda assembly: None
    worker.BEAT_S = BEAT_S
    serve.main()
