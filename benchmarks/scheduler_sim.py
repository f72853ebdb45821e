"""The scheduler on a simulated GPU, pipelined as the graph runner is: `python -m benchmarks.scheduler_sim 64 512 1000`.

Frames and sound take what an H200 was measured to take (docs/gpu.md), one after the other though the real ones
overlap; the host's work for each row, chunk and admission is guessed. It shows what the scheduling can do, not what
the GPU does.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass, field

import numpy as np

from engine.qwen3.batch.scheduler import Costs, Scheduler
from engine.qwen3.batch.sentence import FRAME_S, Sentence
from engine.qwen3.messages import Speak
from engine.speech import Priority

H200 = Costs(
    ((1, 0.00183), (2, 0.00238), (4, 0.00353), (8, 0.00377), (16, 0.00374), (32, 0.00383), (64, 0.00421),
     (128, 0.00479), (256, 0.00624), (512, 0.00926), (1024, 0.01559)), 19.9e-6,
)  # fmt: skip
SHORTEST_SOUND_S = 0.0006
SOUND_ROWS = {1: 256, 2: 256, 4: 256, 8: 128}
HOST_ROW_S, HOST_JOB_S, HOST_CHUNK_S, HOST_ADMIT_S = 5e-6, 1e-6, 15e-6, 500e-6
JOINING_S = 2.0
IDLE_S = 0.001


@dataclass(eq=False)
class Spoken:
    frames: int
    late_s: float = 0.0


@dataclass
class Sound:
    """A batch of sound that the GPU has been told to make."""

    ready_s: float
    decided_s: float
    frames: int
    sentences: list[Sentence]
    first: list[int]


@dataclass
class Simulation:
    calls: int
    seconds: float
    costs: Costs = H200
    seed: int = 1
    host_s: float = 0.0
    gpu_s: float = 0.0
    steps: int = 0
    rows: int = 0
    spoken: dict[Sentence, Spoken] = field(default_factory=dict)
    first_s: list[float] = field(default_factory=list)
    ended: list[Spoken] = field(default_factory=list)

    def run(self) -> None:
        self._random = random.Random(self.seed)
        self._scheduler = Scheduler(self.costs, self.calls)
        arrivals = sorted(self._random.uniform(0, JOINING_S) for _ in range(self.calls))
        waiting: list[Sound] | None = None
        while self.host_s < self.seconds:
            while arrivals and arrivals[0] <= self.host_s:
                self._say(arrivals.pop(0))
            launched = self._launch()
            over = self._collect(waiting) if waiting is not None else 0
            if waiting is None and launched is None:
                self.host_s += IDLE_S
            waiting = launched
            for _ in range(over):
                self._say(self.host_s)

    def _say(self, at_s: float) -> None:
        sentence = Sentence(Speak(0, "", "", priority=Priority.CALL), arrived_s=at_s)
        self._scheduler.add(sentence)
        self.spoken[sentence] = Spoken(self._random.randint(25, 74))
        self.host_s += HOST_ADMIT_S

    def _launch(self) -> list[Sound] | None:
        sentences = self._scheduler.frames(self.host_s)
        self.host_s += len(self._scheduler) * HOST_JOB_S
        self.gpu_s = max(self.gpu_s, self.host_s)
        if sentences:
            self.gpu_s += self.costs.frame(len(sentences))
            self._scheduler.made(sentences, self.host_s)
            self.steps += 1
            self.rows += len(sentences)
        for sentence in sentences:
            sentence.finished = sentence.made >= self.spoken[sentence].frames
        decided_s, sounds = self.host_s, []
        for chunk in self._scheduler.sounds(self.host_s):
            size = next(rows for frames, rows in SOUND_ROWS.items() if frames >= chunk.frames)
            for start in range(0, len(chunk.sentences), size):
                group = list(chunk.sentences[start : start + size])
                self.gpu_s += max(SHORTEST_SOUND_S, len(group) * chunk.frames * self.costs.sound_s)
                sounds.append(Sound(self.gpu_s, decided_s, chunk.frames, group, [each.sounded for each in group]))
                self._scheduler.sounded(group, chunk.frames)
        self.host_s += len(sentences) * HOST_ROW_S
        return sounds if sentences or sounds else None

    def _collect(self, sounds: list[Sound]) -> int:
        over = 0
        for sound in sounds:
            self.host_s = max(self.host_s, sound.ready_s) + len(sound.sentences) * HOST_CHUNK_S
            self._scheduler.took(self.host_s - sound.decided_s)
            for sentence, first in zip(sound.sentences, sound.first, strict=True):
                spoken = self.spoken[sentence]
                if sentence.begun_s is None:
                    self.first_s.append(self.host_s - sentence.arrived_s)
                else:
                    spoken.late_s = max(spoken.late_s, self.host_s - (sentence.begun_s + first * FRAME_S))
                self._scheduler.delivered(sentence, self.host_s)
                if first + sound.frames >= spoken.frames:
                    self._scheduler.remove(sentence)
                    self.ended.append(self.spoken.pop(sentence))
                    over += 1
        return over


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calls", type=int, nargs="*", default=[64, 256, 512, 1000])
    parser.add_argument("--seconds", type=float, default=8.0)
    args = parser.parse_args()
    print("calls   first sound ms p50   p95   sentences   late   worst late ms   steps a s   rows a step")
    for calls in args.calls:
        simulation = Simulation(calls, args.seconds)
        simulation.run()
        sentences = [*simulation.ended, *simulation.spoken.values()]
        late = [s.late_s * 1e3 for s in sentences if s.late_s > 0]
        p50, p95 = np.percentile(simulation.first_s, [50, 95]) * 1e3
        print(
            f"{calls:5d} {p50:15.1f} {p95:9.1f} {len(sentences):11d} {len(late):6d} {max(late, default=0):13.1f}"
            f" {simulation.steps / args.seconds:13.0f} {simulation.rows / max(1, simulation.steps):13.0f}"
        )


if __name__ == "__main__":
    main()
