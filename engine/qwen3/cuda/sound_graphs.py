"""A chunk of sound of a whole batch as CUDA graphs, in narrowband too: captured before the first call, then replayed.

A graph is for one number of calls and one length of their chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from engine.qwen3.batch.sentence import CHUNK_RAMP
from engine.qwen3.cuda.cover import cheapest_covers
from engine.qwen3.cuda.graphs import HISTORY_FRAMES, Capture, Replay, Uploads, bucket_of, measure
from engine.qwen3.kernels import narrowband, sample
from engine.qwen3.kernels.codec import FastCodec
from engine.qwen3.model.narrowband import LEVEL_SAMPLES, allocate_before, narrow_samples
from engine.qwen3.model.state import CODE_GROUPS

SOUND_ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""The numbers of calls that have a graph, as far as the codec takes so many at once."""


def sound_sizes(codec: FastCodec, frames: int) -> tuple[int, ...]:
    """Returns the numbers of calls that have a graph for chunks of so many frames."""
    most = codec.rows_for(frames)
    return tuple(sorted({min(rows, most) for rows in SOUND_ROWS} | {most}))


class SoundLayout(NamedTuple):
    """Where the sound of a batch lies in a buffer of 16 bits: what is wanted of all first, the most of it last."""

    rows: int
    frames: int
    samples_per_frame: int

    @property
    def _ends(self) -> tuple[int, int, int]:
        frames, size = self.rows * self.frames, self.samples_per_frame
        narrow = frames * narrow_samples(size)
        levels = narrow + frames * 2 * (size // LEVEL_SAMPLES)  # in float32
        return narrow, levels, levels + frames * size

    @property
    def narrow_size(self) -> int:
        """The elements that are enough where all calls want narrowband."""
        return self._ends[1]

    @property
    def size(self) -> int:
        return self._ends[2]

    def of(self, buffer: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns PCM, narrowband and levels, each [rows, frames, …], as views."""
        narrow, levels, end = self._ends
        shape = (self.rows, self.frames, -1)
        return (
            buffer[levels:end].view(shape),
            buffer[:narrow].view(shape),
            buffer[narrow:levels].view(torch.float32).view(shape),
        )


class SoundGraphs:
    """One graph of codec and narrowband for each number of calls and of frames, fed from the frames' history."""

    def __init__(self, codec: FastCodec, history: Tensor, capture: Capture, scratch: int) -> None:
        self.codec, self._history, self._capture, self._scratch = codec, history, capture, scratch
        device = history.device
        self._sizes = {frames: sound_sizes(codec, frames) for frames in CHUNK_RAMP}
        most = max(codec.rows_for(frames) for frames in CHUNK_RAMP)
        self._slots = torch.full((most,), scratch, dtype=torch.int64, device=device)
        self._first = torch.zeros(most, dtype=torch.int64, device=device)
        widest = max(codec.rows_for(frames) * frames for frames in CHUNK_RAMP)
        self._codes = torch.zeros(widest * CODE_GROUPS, dtype=torch.int64, device=device)
        self.samples = SoundLayout(1, widest, codec.samples_per_frame).size
        """The most elements that one run makes."""
        self._made = torch.zeros(self.samples, dtype=torch.int16, device=device)
        self._before = allocate_before(scratch, device)
        self._taps = narrowband.taps_on(device)
        self._uploads = Uploads(most)
        self._replays: dict[tuple[int, int], Replay] = {}
        self.seconds: dict[tuple[int, int], float] = {}
        self._covers: dict[int, list[tuple[int, ...]]] = {}
        """For chunks of so many frames: the batches for each number of calls."""

    def launch(self) -> None:
        """Launches once all that may be captured, as `FrameGraphs.launch` does."""
        for frames, sizes in self._sizes.items():
            for rows in sizes:
                self._work(rows, frames)()

    def build(self) -> None:
        """Captures the graphs and measures each."""
        for frames in reversed(CHUNK_RAMP):
            for rows in reversed(self._sizes[frames]):
                replay = self._capture(f"the sound of {frames} frames of {rows}", self._work(rows, frames))
                self._replays[rows, frames] = replay
                self.seconds[rows, frames] = measure(replay)
            measured = {rows: self.seconds[rows, frames] for rows in self._sizes[frames]}
            self._covers[frames] = cheapest_covers(self._scratch, measured)
        self.codec.position.zero_()
        self.codec.state.zero_()

    def rows(self, frames: int) -> int:
        """Returns how many calls go together in chunks of so many frames, one of CHUNK_RAMP."""
        return self._sizes[frames][-1]

    def cover(self, calls: int, frames: int) -> tuple[int, ...]:
        """Returns the sizes of the batches in which chunks of so many frames of so many calls are made soonest."""
        return self._covers[frames][calls]

    def expected_s(self, calls: int, frames: int) -> float:
        """Returns the seconds that a chunk of so many frames of so many calls took when it was measured."""
        return self.seconds[bucket_of(self._sizes[frames], calls), frames]

    def run(self, slots: Sequence[int], first: Sequence[int], frames: int) -> tuple[Tensor, SoundLayout]:
        """Decodes frames `first`… of each slot, on the current stream. Returns where on the device it is, and how."""
        size = bucket_of(self._sizes[frames], len(slots))
        gap = size - len(slots)
        self._uploads.send([*slots, *[self._scratch] * gap], self._slots)
        self._uploads.send([*first, *[0] * gap], self._first)
        self._replays[size, frames]()
        return self._made, SoundLayout(size, frames, self.codec.samples_per_frame)

    def hear(self, slot: int, codes: Tensor) -> None:
        """Has the codec take in codes [T, 16] whose sound nobody wants, T one of CHUNK_RAMP."""
        # At the history's end, where a new call's frames come only when this has long been read.
        first = HISTORY_FRAMES - CHUNK_RAMP[-1]
        self._history[slot, first : first + len(codes)].copy_(codes)
        self.run([slot], [first], len(codes))

    def _work(self, rows: int, frames: int) -> Callable[[], None]:
        slots, first = self._slots[:rows], self._first[:rows]
        codes = self._codes[: rows * frames * CODE_GROUPS].view(rows, frames, CODE_GROUPS)
        pcm, narrow, levels = SoundLayout(rows, frames, self.codec.samples_per_frame).of(self._made)
        pcm, levels = pcm.view(rows, -1), levels.view(rows, -1)

        def work() -> None:
            sample.recall(self._history, slots, first, codes)
            self.codec.decode(slots, codes, pcm)
            narrowband.narrow(self._before, slots, first, pcm, self._taps, narrow)
            narrowband.level(self._before, slots, pcm, levels)

        return work
