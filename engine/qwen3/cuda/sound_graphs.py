"""A chunk of sound of a whole batch as CUDA graphs: captured before the first call, then replayed.

A graph is for one number of calls and one length of their chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from engine.qwen3.batch.sentence import CHUNK_RAMP
from engine.qwen3.cuda.cover import cheapest_covers
from engine.qwen3.cuda.graphs import HISTORY_FRAMES, Capture, Replay, Uploads, bucket_of, measure
from engine.qwen3.kernels import sample
from engine.qwen3.kernels.codec import FastCodec
from engine.qwen3.model.state import CODE_GROUPS

SOUND_ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""The numbers of calls that have a graph, as far as the codec takes so many at once."""


def sound_sizes(codec: FastCodec, frames: int) -> tuple[int, ...]:
    """Returns the numbers of calls that have a graph for chunks of so many frames."""
    most = codec.rows_for(frames)
    return tuple(sorted({min(rows, most) for rows in SOUND_ROWS} | {most}))


class SoundGraphs:
    """One graph of `FastCodec.decode` for each number of calls and of frames, fed from the frames' history."""

    def __init__(self, codec: FastCodec, history: Tensor, capture: Capture, scratch: int) -> None:
        self.codec, self._history, self._capture, self._scratch = codec, history, capture, scratch
        device = history.device
        self._sizes = {frames: sound_sizes(codec, frames) for frames in CHUNK_RAMP}
        most = max(codec.rows_for(frames) for frames in CHUNK_RAMP)
        self._slots = torch.full((most,), scratch, dtype=torch.int64, device=device)
        self._first = torch.zeros(most, dtype=torch.int64, device=device)
        widest = max(codec.rows_for(frames) * frames for frames in CHUNK_RAMP)
        self._codes = torch.zeros(widest * CODE_GROUPS, dtype=torch.int64, device=device)
        self._pcm = torch.zeros(widest * codec.samples_per_frame, dtype=torch.float32, device=device)
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

    @property
    def samples(self) -> int:
        """The most samples that one run makes."""
        return self._pcm.numel()

    def rows(self, frames: int) -> int:
        """Returns how many calls go together in chunks of so many frames, one of CHUNK_RAMP."""
        return self._sizes[frames][-1]

    def cover(self, calls: int, frames: int) -> tuple[int, ...]:
        """Returns the sizes of the batches in which chunks of so many frames of so many calls are made soonest."""
        return self._covers[frames][calls]

    def expected_s(self, calls: int, frames: int) -> float:
        """Returns the seconds that a chunk of so many frames of so many calls took when it was measured."""
        return self.seconds[bucket_of(self._sizes[frames], calls), frames]

    def run(self, slots: Sequence[int], first: Sequence[int], frames: int) -> Tensor:
        """Decodes frames `first`… of each slot, on the current stream. Returns [calls, frames * 1920] on the device."""
        size = bucket_of(self._sizes[frames], len(slots))
        gap = size - len(slots)
        self._uploads.send([*slots, *[self._scratch] * gap], self._slots)
        self._uploads.send([*first, *[0] * gap], self._first)
        self._replays[size, frames]()
        samples = frames * self.codec.samples_per_frame
        return self._pcm[: len(slots) * samples].view(len(slots), samples)

    def hear(self, slot: int, codes: Tensor) -> None:
        """Has the codec take in codes [T, 16] whose sound nobody wants, T one of CHUNK_RAMP."""
        # At the history's end, where a new call's frames come only when this has long been read.
        first = HISTORY_FRAMES - CHUNK_RAMP[-1]
        self._history[slot, first : first + len(codes)].copy_(codes)
        self.run([slot], [first], len(codes))

    def _work(self, rows: int, frames: int) -> Callable[[], None]:
        slots, first = self._slots[:rows], self._first[:rows]
        codes = self._codes[: rows * frames * CODE_GROUPS].view(rows, frames, CODE_GROUPS)
        pcm = self._pcm[: rows * frames * self.codec.samples_per_frame].view(rows, -1)

        def work() -> None:
            sample.recall(self._history, slots, first, codes)
            self.codec.decode(slots, codes, pcm)

        return work
