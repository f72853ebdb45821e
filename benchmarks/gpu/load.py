"""Callers of a runner: sentences handed over, and when their sound comes."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from benchmarks.gpu.models import DEVICE
from engine.qwen3.batch.sentence import FRAME_S, Sentence
from engine.qwen3.cuda.graph_runner import GraphRunner
from engine.qwen3.messages import Speak
from engine.qwen3.model.prompt import Prompt
from engine.qwen3.model.sampling import Sampling

VOICES = 18  # nine voices in two languages
PROMPT_POSITIONS = 10
TEXT_TOKENS = 32
SAMPLES = 1920
JOINING_S = 2.0


@dataclass
class Talk:
    """One sentence as its caller hears it."""

    asked_s: float
    frames: int
    cloned: bool = False
    begun_s: float | None = None
    heard: int = 0
    late_s: float = 0.0
    ended_s: float | None = None

    @property
    def first_s(self) -> float:
        return float("nan") if self.begun_s is None else self.begun_s - self.asked_s

    def hears(self, samples: int, now_s: float) -> None:
        if self.begun_s is None:
            self.begun_s = now_s
        elif samples:
            self.late_s = max(self.late_s, now_s - self.begun_s - self.heard * FRAME_S)
        self.heard += samples // SAMPLES


@dataclass
class Load:
    """A load of calls that come at random and stay; each speaks one sentence after the other without a pause."""

    runner: GraphRunner
    hidden: int
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    talks: dict[int, Talk] = field(default_factory=dict)
    done: list[Talk] = field(default_factory=list)
    numbers: int = 0
    steps_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        generator = torch.Generator(DEVICE).manual_seed(5)
        shape = (VOICES, PROMPT_POSITIONS, self.hidden)
        self._prefix = list(torch.randn(shape, device=DEVICE, generator=generator).bfloat16())
        self._text = torch.randn(48, self.hidden, device=DEVICE).bfloat16()

    def say(self, frames: int, asked_s: float | None = None, needed_at_s: float = 0.0) -> Sentence | None:
        """Hands a text over: the prompt is built as the engine builds it, from embeddings on the device."""
        asked = time.perf_counter() if asked_s is None else asked_s
        voice = self.numbers % VOICES
        prompt = Prompt(self._prefix[voice], PROMPT_POSITIONS - 1, voice, self._text[:TEXT_TOKENS], None)
        return self.speak(prompt, frames, asked, needed_at_s)

    def speak(self, prompt: Prompt, frames: int, asked_s: float, needed_at_s: float = 0.0) -> Sentence | None:
        sentence = Sentence(Speak(self.numbers, "", ""), needed_at_s).build(prompt, Sampling(seed=self.numbers), 100)
        if not self.runner.admit(sentence):
            return None
        sentence.budget = frames
        self.talks[sentence.number] = Talk(asked_s, frames, prompt.reference_codes is not None)
        self.numbers += 1
        return sentence

    def step(self) -> list[Talk]:
        """Makes one step; returns the sentences that ended in it."""
        begin, ended = time.perf_counter(), []
        for made in self.runner.step():
            now, talk = time.perf_counter(), self.talks[made.sentence.number]
            talk.hears(made.pcm.size, now)
            if made.end is not None:
                talk.ended_s = now
                self.done.append(self.talks.pop(made.sentence.number))
                ended.append(talk)
        self.steps_s.append(time.perf_counter() - begin)
        return ended

    def finish(self) -> None:
        """Runs until nobody speaks any more."""
        while self.talks:
            self.step()

    def warm_voices(self) -> float:
        """Has every voice's prefix kept; returns the median first sound of the others than the first, in seconds."""
        for _ in range(VOICES):
            self.say(2)
            self.finish()
        return float(np.median([talk.first_s for talk in self.done[1:]]))

    @property
    def all(self) -> list[Talk]:
        return [*self.done, *self.talks.values()]


def a_sentence(load: Load) -> int:
    """Returns a sentence's frames: 2 to 6 seconds."""
    return int(load.generator.integers(25, 75))


def run_calls(runner: GraphRunner, hidden: int, calls: int, seconds: float) -> tuple[Load, int]:
    """Runs calls that come at random within two seconds and go from sentence (2 to 6 s) to sentence."""
    load = Load(runner, hidden)
    arrivals = sorted(load.generator.uniform(0, JOINING_S, calls).tolist())
    gc.collect()
    gc.freeze()  # as the engine's process does: a collection that walked the model would hold up a frame
    begin = time.perf_counter()
    refused = 0
    try:
        while (now := time.perf_counter() - begin) < seconds:
            while arrivals and arrivals[0] <= now:
                refused += load.say(a_sentence(load), begin + arrivals.pop(0)) is None
            for _ in load.step():
                refused += load.say(a_sentence(load)) is None
    finally:
        gc.unfreeze()
    return load, refused


def drain(load: Load) -> None:
    for sentence in list(load.runner._batch.values()):
        load.runner.remove(sentence)
    load.talks.clear()
    while load.runner._waiting is not None:
        load.runner.step()


def percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(values, share)) if len(values) else float("nan")
