"""The scheduler on a simulated GPU, pipelined as the graph runner is: `python -m benchmarks.scheduler_sim 64 512 1000`.

Frames and sound take what an H200 was measured to take (docs/performance.md), one after the other though the real ones
overlap; the host's work for each row, chunk and admission is guessed. It shows what the scheduling can do, not what
the GPU does.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass, field

import numpy as np

from engine.qwen3.batch.scheduler import FRAME_S, Costs, Job, Scheduler
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
class Sentence:
    job: Job
    frames: int
    late_s: float = 0.0


@dataclass
class Sound:
    """A batch of sound that the GPU has been told to make."""

    ready_s: float
    decided_s: float
    frames: int
    jobs: list[Job]
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
    sentences: dict[Job, Sentence] = field(default_factory=dict)
    first_s: list[float] = field(default_factory=list)
    ended: list[Sentence] = field(default_factory=list)

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
        job = Job(Priority.CALL, at_s)
        self._scheduler.add(job)
        self.sentences[job] = Sentence(job, self._random.randint(25, 74))
        self.host_s += HOST_ADMIT_S

    def _launch(self) -> list[Sound] | None:
        jobs = self._scheduler.frames(self.host_s)
        self.host_s += len(self._scheduler) * HOST_JOB_S
        self.gpu_s = max(self.gpu_s, self.host_s)
        if jobs:
            self.gpu_s += self.costs.frame(len(jobs))
            self._scheduler.made(jobs, self.host_s)
            self.steps += 1
            self.rows += len(jobs)
        for job in jobs:
            job.finished = job.made >= self.sentences[job].frames
        decided_s, sounds = self.host_s, []
        for chunk in self._scheduler.sounds(self.host_s):
            size = next(rows for frames, rows in SOUND_ROWS.items() if frames >= chunk.frames)
            for start in range(0, len(chunk.jobs), size):
                group = list(chunk.jobs[start : start + size])
                self.gpu_s += max(SHORTEST_SOUND_S, len(group) * chunk.frames * self.costs.sound_s)
                sounds.append(Sound(self.gpu_s, decided_s, chunk.frames, group, [job.sounded for job in group]))
                self._scheduler.sounded(group, chunk.frames)
        self.host_s += len(jobs) * HOST_ROW_S
        return sounds if jobs or sounds else None

    def _collect(self, sounds: list[Sound]) -> int:
        over = 0
        for sound in sounds:
            self.host_s = max(self.host_s, sound.ready_s) + len(sound.jobs) * HOST_CHUNK_S
            self._scheduler.took(self.host_s - sound.decided_s)
            for job, first in zip(sound.jobs, sound.first, strict=True):
                sentence = self.sentences[job]
                if job.begun_s is None:
                    self.first_s.append(self.host_s - job.arrived_s)
                else:
                    sentence.late_s = max(sentence.late_s, self.host_s - (job.begun_s + first * FRAME_S))
                self._scheduler.delivered(job, self.host_s)
                if first + sound.frames >= sentence.frames:
                    self._scheduler.remove(job)
                    self.ended.append(self.sentences.pop(job))
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
        sentences = [*simulation.ended, *simulation.sentences.values()]
        late = [s.late_s * 1e3 for s in sentences if s.late_s > 0]
        p50, p95 = np.percentile(simulation.first_s, [50, 95]) * 1e3
        print(
            f"{calls:5d} {p50:15.1f} {p95:9.1f} {len(sentences):11d} {len(late):6d} {max(late, default=0):13.1f}"
            f" {simulation.steps / args.seconds:13.0f} {simulation.rows / max(1, simulation.steps):13.0f}"
        )


if __name__ == "__main__":
    main()
