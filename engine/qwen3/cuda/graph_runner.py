"""The fast runner: the scheduler says who is served, graphs do it, sound leaves through page-locked memory.

`step` launches one frame for the batch and whatever sound is due, and hands out what the step before it made: the host
reads while the GPU works, so neither waits for the other. An end of speech is therefore seen one frame late, and that
frame is dropped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog
import torch
from torch import Tensor

from engine.qwen3.batch.runner import Frames, Made, Runner
from engine.qwen3.batch.scheduler import Costs, Scheduler
from engine.qwen3.batch.sentence import CHUNK_RAMP, End, Sentence
from engine.qwen3.cuda.events import event
from engine.qwen3.cuda.fast_slots import FastSlots
from engine.qwen3.cuda.gpu_timer import GpuTimer
from engine.qwen3.cuda.graphs import Capture, FrameGraphs
from engine.qwen3.cuda.pinned import PinnedPool
from engine.qwen3.cuda.prefill import PrefillGraphs
from engine.qwen3.cuda.preparation import PREPARED_OF, Preparation, hear, read_prompt
from engine.qwen3.cuda.sound import Sound, SoundOut
from engine.qwen3.cuda.sound_graphs import SoundGraphs
from engine.qwen3.cuda.tuning import Tuning
from engine.qwen3.kernels import ahead
from engine.qwen3.model.state import CODE_GROUPS

log = structlog.get_logger(__name__)

REST_S: Final = 0.001
SHRINK_AFTER_S: Final = 10.0
"""The quiet after which memory is given back that a crowd of long sentences has taken."""


@dataclass(slots=True)
class _Step:
    """What one step has launched."""

    sentences: list[Sentence]
    """The sentences that got a frame."""
    codes: Tensor | None
    arrived: torch.cuda.Event | None
    sounds: list[Sound]
    cut: list[Sentence]
    """The sentences that got none and end, because there is no memory for them."""


class GraphRunner(Runner):
    """Makes in each step one frame of the sentences that the scheduler names, and the sound that it asks for."""

    _slots: FastSlots

    def __init__(
        self,
        slots: FastSlots,
        tuning: Tuning,
        *,
        graphs: bool = True,
        pin: bool = True,
        lead_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(slots)
        self._streams, self._clock, self._rest = slots.streams, clock, rest
        self._captures = (Capture(self._streams.frames, graphs), Capture(self._streams.sound, graphs))
        largest = slots.state.slots
        self.frames = FrameGraphs(slots.model, slots.state, self._captures[0], tuning, largest)
        self.prefill = PrefillGraphs(slots.model, slots.state, self.frames.scratch, self._captures[0])
        self.sound = SoundGraphs(slots.fast_codec, self.frames.history, self._captures[1], slots.state.scratch)
        self.start_s: dict[str, float] = {}
        """The seconds that each part of the start took."""
        parts: dict[str, FrameGraphs | PrefillGraphs | SoundGraphs] = {
            "frames": self.frames, "prompts": self.prefill, "sound": self.sound
        }  # fmt: skip
        with self._timed("compiling"), ahead.compiling():
            for part in parts.values():
                part.launch()
        torch.cuda.synchronize()
        for name, part in parts.items():
            with self._timed(name):
                part.build()
        tuning.save()
        most = CHUNK_RAMP[-1]
        rows = self.sound.rows(most)
        self.costs = Costs(
            tuple((size, self.frames.seconds[size]) for size in self.frames.sizes),
            self.sound.seconds[rows, most] / (rows * most),
        )
        self.scheduler = Scheduler(self.costs, largest, lead_s)
        self._timer = GpuTimer()
        self._codes = PinnedPool(largest * CODE_GROUPS, torch.int64, 4, pin)
        self._out = SoundOut(self.sound, self._streams, self._timer, pin, clock)
        self._preparing: dict[Sentence, Preparation] = {}
        """Sentences whose prompts are not worked off yet."""
        self._waiting: _Step | None = None
        self._quiet_since_s: float | None = None
        """When the last one left the batch; infinite once memory has been given back since."""
        self.warnings = [
            *(warning for capture in self._captures for warning in capture.warnings),
            *self.frames.warnings,
            *(w for w in (self._codes.warning, self._out.warning) if w),
        ]
        torch.cuda.synchronize()

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        begin_s = time.perf_counter()
        yield
        self.start_s[part] = round(time.perf_counter() - begin_s, 2)

    @property
    def facts(self) -> dict[str, Any]:
        """What `/health` shows of the runner."""
        return {
            "graphs": self.graphs,
            "start_s": self.start_s,
            "capacity": self.scheduler.capacity,
            "http_capacity": self.scheduler.http_capacity,
            "load": round(self.scheduler.use.load(self._clock()), 3),
            "frame_ms": {size: round(seconds * 1e3, 2) for size, seconds in self.frames.seconds.items()},
            "frame_made_by": {size: variant.kind for size, variant in self.frames.variants.items()},
        }

    @property
    def graphs(self) -> int:
        """How many CUDA graphs were captured."""
        return sum(capture.graphs for capture in self._captures)

    def admit(self, sentence: Sentence) -> bool:
        if not self._slots.free or not self.scheduler.admits(sentence.priority):
            return False
        prompt = sentence.prompt
        self._hand_over(prompt.embeds, prompt.text, prompt.reference_codes)
        preparation = self._slots.place(prompt, sentence.sampling)
        if preparation is None:
            return False
        self._enter(sentence, preparation.slot)
        sentence.arrived_s = self._clock()
        if self._slots.is_kept(prompt):
            self._slots.begin(preparation)
        else:
            sentence.blocked = True
            self._preparing[sentence] = preparation
        self.scheduler.add(sentence)
        return True

    def remove(self, sentence: Sentence) -> None:
        if self.holds(sentence):
            self._preparing.pop(sentence, None)
            self.scheduler.remove(sentence)
        super().remove(sentence)

    def step(self) -> list[Made]:
        self._note_quiet()
        launched = self._launch()
        busy_s, expected_s = self._timer.collect()
        if busy_s:
            self.scheduler.worked(self._clock(), busy_s, expected_s)
        finished, self._waiting = self._waiting, launched
        if finished is None:
            if launched is None:
                self._rest(REST_S)  # all are far enough ahead of their playback
            return []
        made: list[Made] = []
        self._take_codes(finished, made)
        for sound in finished.sounds:
            self._hand_out(sound, made)
        # Those that ended with nothing left to decode.
        for sentence in (*finished.sentences, *finished.cut):
            if self.holds(sentence) and sentence.over:
                made.append(Made.nothing_more(sentence, sentence.end))
                self.remove(sentence)
        return made

    def _launch(self) -> _Step | None:
        prepared = self._prepare()
        wanted = self.scheduler.frames(self._clock())
        sentences = [each for each in wanted if self._slots.hold(each.slot, each.position + 1)]
        cut = [each for each in wanted if each not in sentences] if len(sentences) < len(wanted) else []
        for sentence in cut:
            log.warning("no GPU memory for a longer sentence: it is cut short", frames=sentence.made)
            sentence.end, sentence.length, sentence.finished = End.BUDGET, sentence.made, True
        codes, arrived = None, None
        if sentences:
            codes = self._codes.take()
            with torch.cuda.stream(self._streams.frames):
                with self._timer.timing(self.costs.frame(len(sentences))):
                    made = self.frames.run([each.slot for each in sentences])
                codes[: made.numel()].copy_(made.flatten(), non_blocking=True)
                arrived = event()
                arrived.record()
            self.scheduler.made(sentences, self._clock())
            for sentence in sentences:
                if sentence.made >= sentence.budget:
                    sentence.end, sentence.length, sentence.finished = End.BUDGET, sentence.made, True
        sounds = []
        for chunk in self.scheduler.sounds(self._clock()):
            for sound in self._out.launch(chunk):
                self.scheduler.sounded(sound.sentences, chunk.frames)
                sounds.append(sound)
        return _Step(sentences, codes, arrived, sounds, cut) if wanted or sounds or prepared else None

    def _note_quiet(self) -> None:
        """Gives memory back, once, when nobody has spoken for a while."""
        now = self._clock()
        if self._batch:
            self._quiet_since_s = None
        elif self._quiet_since_s is None:
            self._quiet_since_s = now
        elif now - self._quiet_since_s > SHRINK_AFTER_S:
            self._quiet_since_s = math.inf
            self._slots.shrink()

    def _prepare(self) -> bool:
        """Works off one step's share of the prompts that are not ready. Returns False where all are."""
        ranked = sorted(self._preparing, key=lambda each: (each.priority, each.arrived_s))
        for sentence in ranked[: 1 + len(ranked) // PREPARED_OF]:
            self._prepare_one(sentence, self._preparing[sentence])
        return bool(ranked)

    def _prepare_one(self, sentence: Sentence, preparation: Preparation) -> None:
        if not preparation.begun:
            self._slots.begin(preparation)
        with torch.cuda.stream(self._streams.frames), self._timer.timing():
            read_prompt(self.prefill, preparation)
        with torch.cuda.stream(self._streams.sound):
            self._out.await_copy()
            with self._timer.timing():
                hear(self.sound, preparation)
        if preparation.done:
            if preparation.keep:
                self._slots.keep(preparation)
            del self._preparing[sentence]
            sentence.blocked = False

    def _take_codes(self, step: _Step, made: list[Made]) -> None:
        """Reads the codes of a step's frame, and ends the sentences whose end or an invalid code was drawn."""
        if step.codes is None or step.arrived is None:
            return
        step.arrived.synchronize()
        rows = step.codes.numpy().reshape(-1, CODE_GROUPS)[: len(step.sentences)]
        valid = self._slots.model.valid(rows)
        for sentence, first, sounds in zip(step.sentences, rows[:, :1].tolist(), valid.tolist(), strict=True):
            if not self.holds(sentence):
                continue
            sentence.codes.append(first)
            frames = len(sentence.codes)
            if sentence.length is not None and sentence.length < frames:
                continue  # made after its end
            if not sounds:
                made.append(Made.nothing_more(sentence, End.INVALID_CODE))
                self.remove(sentence)
            elif first[0] == self._slots.model.eos:
                sentence.end, sentence.length, sentence.finished = End.SPOKEN, frames - 1, True
                # What was made after it is not sound.
                sentence.made = max(sentence.sounded, min(sentence.made, frames - 1))
        self._codes.give(step.codes)

    def _hand_out(self, sound: Sound, made: list[Made]) -> None:
        rows = self._out.read(sound)
        now = self._clock()
        self.scheduler.took(now - sound.decided_s)
        # A batch that is not full has rows of nobody behind the last sentence's.
        for sentence, first, row in zip(sound.sentences, sound.first, rows, strict=False):
            if not self.holds(sentence):
                continue
            known = len(sentence.codes) if sentence.length is None else min(sentence.length, len(sentence.codes))
            frames = max(0, min(sound.layout.frames, known - first))
            row = Frames._make(part[:frames] for part in row)
            self.scheduler.delivered(sentence, now)
            sentence.handed_out = first + frames
            if sentence.length is None and self._runs_on(sentence, first, row):
                sentence.end, sentence.length = End.GUARD, sentence.handed_out
            made.append(self._cut(sentence, first, row, sentence.end if sentence.over else None))
            if sentence.over:
                self.remove(sentence)
        self._out.free(sound)

    def _hand_over(self, *made: Tensor | None) -> None:
        """Hands tensors from the current stream to ours. Their maker may let go of them before we have read them."""
        self._streams.frames.wait_stream(torch.cuda.current_stream())
        for tensor in made:
            if tensor is not None and tensor.is_cuda:
                tensor.record_stream(self._streams.frames)
                tensor.record_stream(self._streams.sound)
