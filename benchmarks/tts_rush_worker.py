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
from engine.qwen3.batch.runner import Frames, Made, Runner
from engine.qwen3.batch.scheduler import Chunks, Scheduler
from engine.qwen3.batch.sentence import End, Sentence
from engine.qwen3.batch.slots import Slots
from engine.qwen3.model import narrowband
from engine.qwen3.model.checkpoint import Checkpoint
from engine.qwen3.settings import QwenSettings
from engine.qwen3.worker import build as assemble
from engine.qwen3.worker import main as serve
from engine.qwen3.worker import worker

FRAMES = 54
"""The frames of each sentence, 4.3 s: more than is made ahead."""
FRAME_SAMPLES = 1920
BEAT_S = 0.05
IDLE_S = 0.001


@dataclass(frozen=True, slots=True)
class _Step:
    decided_s: float
    over_s: float
    chunks: list[Chunks]


class StandIn(Runner):
    """A runner that sleeps where a GPU would work, a step behind as the graph runner is, and whose sound is noise."""

    def __init__(self, slots: Slots, places: int) -> None:
        super().__init__(slots)
        slots._free = list(range(places))  # one slot's state stands for all
        self._scheduler = Scheduler(H200, places)
        noise = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (1, FRAME_SAMPLES * 8)))
        at, pcm = torch.tensor([0]), narrowband.to_pcm(noise)
        narrow = narrowband.narrow(slots.before, at, at, pcm, 8)
        self._noise = [part.view(8, -1).numpy() for part in (pcm, narrow, narrowband.levels(pcm))]
        self._steps: deque[_Step] = deque()

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"capacity": self._scheduler.capacity, "told_s": time.monotonic()}

    def admit(self, sentence: Sentence) -> bool:
        if not self._slots.free or not self._scheduler.admits(sentence.priority):
            return False
        self._enter(sentence, self._slots._free.pop())
        sentence.arrived_s = time.monotonic()
        self._scheduler.add(sentence)
        return True

    def remove(self, sentence: Sentence) -> None:
        self._scheduler.remove(sentence)
        super().remove(sentence)

    def step(self) -> list[Made]:
        now_s = time.monotonic()
        sentences = self._scheduler.frames(now_s)
        self._scheduler.made(sentences, now_s)
        for sentence in sentences:
            sentence.finished = sentence.made >= FRAMES
        chunks = self._scheduler.sounds(now_s)
        for chunk in chunks:
            self._scheduler.sounded(chunk.sentences, chunk.frames)
        if sentences or chunks:
            sound_s = sum(len(chunk.sentences) * chunk.frames for chunk in chunks) * H200.sound_s
            begun_s = max(now_s, self._steps[-1].over_s) if self._steps else now_s
            takes_s = (H200.frame(len(sentences)) if sentences else 0.0) + sound_s
            self._steps.append(_Step(now_s, begun_s + takes_s, chunks))
        elif not self._steps:
            time.sleep(IDLE_S)
        made = []
        while len(self._steps) > bool(sentences or chunks):
            made += self._collect(self._steps.popleft())
        return made

    def _collect(self, step: _Step) -> list[Made]:
        time.sleep(max(0.0, step.over_s - time.monotonic()))
        now_s = time.monotonic()
        self._scheduler.took(now_s - step.decided_s)
        made = []
        for chunk in step.chunks:
            for sentence in chunk.sentences:
                if not self.holds(sentence):
                    continue
                self._scheduler.delivered(sentence, now_s)
                end = End.BUDGET if sentence.finished and not sentence.waiting else None
                noise = Frames._make(part[: chunk.frames] for part in self._noise)
                made.append(self._cut(sentence, sentence.handed_out, noise, end))
                sentence.handed_out += chunk.frames
                if end is not None:
                    self.remove(sentence)
        return made


def stand_in(checkpoint: Checkpoint, settings: QwenSettings) -> tuple[Slots, Runner]:
    slots = Slots(checkpoint.model, checkpoint.codec, 1, settings.max_positions, settings.max_positions, 2**20)
    return slots, StandIn(slots, settings.max_batch)


if __name__ == "__main__":
    torch.set_num_threads(1)
    assemble._plain_runner = stand_in
    assemble.warm_up = lambda assembly: None
    worker.BEAT_S = BEAT_S
    serve.main()
