"""The fast runner: the scheduler says who is served, graphs do it, sound leaves through page-locked memory.

`step` launches one frame for the batch and whatever sound is due, and hands out what the step before it made: the host
reads while the GPU works, so neither waits for the other. An end of speech is therefore seen one frame late, and that
frame is dropped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from engine.qwen3.batch.end_guard import EndGuard, frame_budget
from engine.qwen3.batch.runner import End, Made, Utterance
from engine.qwen3.batch.scheduler import Chunks, Costs, Job, Scheduler
from engine.qwen3.cuda.fast_slots import FastSlots
from engine.qwen3.cuda.graphs import SOUND_FRAMES, Capture, FrameGraphs, SoundGraphs, bucket_of
from engine.qwen3.cuda.pinned import PinnedPool
from engine.qwen3.cuda.prefill import PREPARED_OF, PrefillGraphs, Preparation, hear, read_prompt
from engine.qwen3.cuda.tuning import Tuning
from engine.qwen3.kernels import ahead
from engine.qwen3.model.state import CODE_GROUPS

SOUND_BUFFERS: Final = 16
"""Page-locked buffers, each for the largest batch of sound. Two steps' sound is on its way at once, in chunks of four
sizes, with many calls in two batches of a size; one more would have to be asked for while calls speak."""

REST_S: Final = 0.001


@dataclass(eq=False, slots=True)
class _Call(Job):
    """One utterance in the batch."""

    utterance: Utterance = None  # type: ignore[assignment]
    preparation: Preparation = None  # type: ignore[assignment]
    firsts: list[int] = field(default_factory=list)
    """Code 0 of each frame that has reached the host."""
    spoken: int = 0
    """Frames whose sound has been handed out."""
    end: End | None = None
    frames: int | None = None
    """How many frames belong to it, once that is known."""
    gone: bool = False


@dataclass(slots=True)
class _Sound:
    """A batch of sound on its way to the host."""

    calls: tuple[_Call, ...]
    first: tuple[int, ...]
    frames: int
    buffer: Tensor
    arrived: torch.cuda.Event
    decided_s: float


@dataclass(slots=True)
class _Step:
    """What one step launched."""

    calls: tuple[_Call, ...]
    codes: Tensor | None
    arrived: torch.cuda.Event | None
    sounds: list[_Sound]


class GraphRunner:
    """A batch of utterances, as engine.qwen3.batch.runner.Runner has it."""

    def __init__(
        self,
        slots: FastSlots,
        choices: Tuning,
        *,
        graphs: bool = True,
        pin: bool = True,
        clock: Callable[[], float] = time.monotonic,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self._slots, self._streams, self._clock, self._rest = slots, slots.streams, clock, rest
        self._captures = (Capture(self._streams.frames, graphs), Capture(self._streams.sound, graphs))
        largest = slots.state.slots
        self.frames = FrameGraphs(slots.model, slots.state, self._captures[0], choices, largest)
        self.prefill = PrefillGraphs(slots.model, slots.state, self.frames.scratch, self._captures[0])
        self.sound = SoundGraphs(slots.fast_codec, self.frames.history, self._captures[1], slots.state.scratch)
        self.start_s: dict[str, float] = {}
        """What the start took, by its parts."""
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
        choices.save()
        most = SOUND_FRAMES[-1]
        rows = self.sound.rows(most)
        self.costs = Costs(
            tuple((size, self.frames.seconds[size]) for size in self.frames.sizes),
            self.sound.seconds[rows, most] / (rows * most),
        )
        self.scheduler = Scheduler(self.costs, largest)
        self._codes = PinnedPool(largest * CODE_GROUPS, torch.int64, 4, pin)
        self._pcm = PinnedPool(self.sound.samples, torch.float32, SOUND_BUFFERS, pin)
        self._calls: dict[int, _Call] = {}
        self._preparing: list[_Call] = []
        self._waiting: _Step | None = None
        self._copied: torch.cuda.Event | None = None
        self.warnings = [
            *(warning for capture in self._captures for warning in capture.warnings),
            *self.frames.warnings,
            *(w for w in (self._codes.warning, self._pcm.warning) if w),
        ]
        torch.cuda.synchronize()

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        begin_s = time.perf_counter()
        yield
        self.start_s[part] = round(time.perf_counter() - begin_s, 2)

    @property
    def facts(self) -> dict[str, Any]:
        """What `/health` tells of it."""
        return {
            "graphs": self.graphs,
            "start_s": self.start_s,
            "capacity": self.scheduler.capacity,
            "load": round(self.scheduler.load, 3),
            "frame_ms": {size: round(seconds * 1e3, 2) for size, seconds in self.frames.seconds.items()},
            "frame_made_by": {size: variant.kind for size, variant in self.frames.variants.items()},
        }

    @property
    def graphs(self) -> int:
        """How many were captured."""
        return sum(capture.graphs for capture in self._captures)

    @property
    def active(self) -> int:
        return len(self._calls)

    def admit(self, utterance: Utterance) -> bool:
        if not self._slots.free or not self.scheduler.admits(utterance.priority):
            return False
        prompt = utterance.prompt
        self._hand_over(prompt.embeds, prompt.text, prompt.reference_codes)
        preparation = self._slots.place(prompt, utterance.sampling)
        utterance.slot = preparation.slot
        utterance.position = preparation.last
        utterance.text_length = len(prompt.text)
        call = _Call(utterance.priority, self._clock(), utterance=utterance, preparation=preparation)
        self._calls[utterance.slot] = call
        if self._slots.is_kept(prompt):
            self._slots.begin(preparation)
        else:
            call.blocked = True
            self._preparing.append(call)
        self._limit(call)
        self.scheduler.add(call)
        return True

    def remove(self, utterance: Utterance) -> None:
        call = self._calls.get(utterance.slot)
        if call is not None and call.utterance is utterance:
            del self._calls[utterance.slot]
            call.gone = True
            if call in self._preparing:
                self._preparing.remove(call)
            self.scheduler.remove(call)
            self._slots.release(utterance.slot)

    def step(self) -> list[Made]:
        launched = self._launch()
        finished, self._waiting = self._waiting, launched
        if finished is None:
            if launched is None:
                self._rest(REST_S)  # all are far enough ahead of their playback
            return []
        return self._collect(finished)

    def _prepare(self) -> bool:
        """One step's share of the prompts of those that are not ready; false if all are."""
        ranked = sorted(self._preparing, key=lambda each: (each.priority, each.arrived_s))
        for call in ranked[: 1 + len(ranked) // PREPARED_OF]:
            self._prepare_one(call)
        return bool(ranked)

    def _prepare_one(self, call: _Call) -> None:
        preparation, streams = call.preparation, self._streams
        if not preparation.begun:
            self._slots.begin(preparation)
        with torch.cuda.stream(streams.frames):
            read_prompt(self.prefill, preparation)
        with torch.cuda.stream(streams.sound):
            self._await_copy()
            hear(self.sound, preparation)
        if preparation.done:
            if preparation.keep:
                self._slots.keep(preparation)
            self._preparing.remove(call)
            call.blocked = False

    def _await_copy(self) -> None:
        """The sound that was made last has left the buffer that the next goes to."""
        if self._copied is not None:
            self._streams.sound.wait_event(self._copied)

    def _launch(self) -> _Step | None:
        prepared = self._prepare()
        calls: Sequence[_Call] = self.scheduler.frames(self._clock())  # type: ignore[assignment]
        codes, arrived = None, None
        if calls:
            codes = self._codes.take()
            with torch.cuda.stream(self._streams.frames):
                made = self.frames.run([call.utterance.slot for call in calls])
                codes[: made.numel()].copy_(made.flatten(), non_blocking=True)
                arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
                arrived.record()
            self.scheduler.made(calls, self._clock())
            for call in calls:
                utterance = call.utterance
                utterance.frames += 1
                utterance.position += 1
                if utterance.frames >= utterance.budget:
                    call.finished = True
                    call.end = call.end or End.BUDGET
                    call.frames = call.frames or utterance.frames
        sounds = [sound for chunk in self.scheduler.sounds(self._clock()) for sound in self._decode(chunk)]
        return _Step(tuple(calls), codes, arrived, sounds) if calls or sounds or prepared else None

    def _decode(self, chunk: Chunks) -> list[_Sound]:
        """Launches a chunk's decoding, in as many batches as it takes."""
        made = []
        decided_s = self._clock()
        streams, frames = self._streams, bucket_of(SOUND_FRAMES, chunk.frames)
        for start in range(0, len(chunk.jobs), self.sound.rows(frames)):
            calls: tuple[_Call, ...] = chunk.jobs[start : start + self.sound.rows(frames)]  # type: ignore[assignment]
            first = tuple(call.sounded for call in calls)
            buffer = self._pcm.take()
            streams.sound.wait_stream(streams.frames)
            with torch.cuda.stream(streams.sound):
                self._await_copy()
                pcm = self.sound.run([call.utterance.slot for call in calls], first, frames)
            streams.copies.wait_stream(streams.sound)
            with torch.cuda.stream(streams.copies):
                buffer[: pcm.numel()].copy_(pcm.flatten(), non_blocking=True)
                self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
                self._copied.record()
            self.scheduler.sounded(calls, chunk.frames)
            made.append(_Sound(calls, first, frames, buffer, self._copied, decided_s))
        return made

    def _collect(self, step: _Step) -> list[Made]:
        made: list[Made] = []
        if step.codes is not None and step.arrived is not None:
            step.arrived.synchronize()
            rows = step.codes.numpy().reshape(-1, CODE_GROUPS)[: len(step.calls)]
            valid = self._slots.model.valid(rows)
            for call, first, sounds in zip(step.calls, rows[:, 0].tolist(), valid.tolist(), strict=True):
                call.firsts.append(first)
                if call.gone:
                    continue
                if not sounds and (call.frames is None or call.frames >= len(call.firsts)):
                    made.append(Made(call.utterance, np.zeros(0, np.float32), End.INVALID_CODE))
                    self.remove(call.utterance)
                elif first == self._slots.model.eos and (call.frames is None or call.frames >= len(call.firsts)):
                    call.end, call.frames, call.finished = End.SPOKEN, len(call.firsts) - 1, True
                    # What was made after it is not sound.
                    call.made = max(call.sounded, min(call.made, call.frames))
            self._codes.give(step.codes)
        for sound in step.sounds:
            sound.arrived.synchronize()
            self._hand_out(sound, made)
            self._pcm.give(sound.buffer)
        # Those that ended with nothing left to decode.
        for call in step.calls:
            if not call.gone and call.frames is not None and call.spoken >= call.frames:
                made.append(Made(call.utterance, np.zeros(0, np.float32), call.end))
                self.remove(call.utterance)
        return made

    def _hand_out(self, sound: _Sound, made: list[Made]) -> None:
        rate = self.sound.codec.samples_per_frame
        whole = sound.buffer.numpy()[: len(sound.calls) * sound.frames * rate]
        pcm = whole.reshape(len(sound.calls), sound.frames, rate)
        levels = np.sqrt(np.einsum("ijk,ijk->ij", pcm, pcm) / rate)
        now = self._clock()
        self.scheduler.took(now - sound.decided_s)
        for row, (call, first) in enumerate(zip(sound.calls, sound.first, strict=True)):
            if call.gone:
                continue
            known = len(call.firsts) if call.frames is None else min(call.frames, len(call.firsts))
            frames = max(0, min(sound.frames, known - first))
            self.scheduler.delivered(call, now)
            call.spoken = first + frames
            if call.frames is None and self._runs_on(call, first, levels[row, :frames].tolist()):
                call.end, call.frames = End.GUARD, call.spoken
            ended = call.frames is not None and call.spoken >= call.frames
            made.append(Made(call.utterance, pcm[row, :frames].flatten(), call.end if ended else None))
            if ended:
                self.remove(call.utterance)

    def _runs_on(self, call: _Call, first: int, levels: list[float]) -> bool:
        guard = call.utterance.guard
        if guard is None:
            return False
        # Every frame is shown to the guard, also after one that would do.
        verdicts = [
            guard.over(call.firsts[first + i], 20 * math.log10(max(level, 1e-9))) for i, level in enumerate(levels)
        ]
        return any(verdicts)

    def _hand_over(self, *made: Tensor | None) -> None:
        """From whatever stream is current to ours; who made them may let go of them before we have read them."""
        self._streams.frames.wait_stream(torch.cuda.current_stream())
        for tensor in made:
            if tensor is not None and tensor.is_cuda:
                tensor.record_stream(self._streams.frames)
                tensor.record_stream(self._streams.sound)

    def _limit(self, call: _Call) -> None:
        utterance = call.utterance
        room = self._slots.state.talker_kv.max_positions - len(utterance.prompt.embeds)
        utterance.budget = frame_budget(utterance.text_tokens, room)
        utterance.guard = EndGuard(utterance.text_length)
