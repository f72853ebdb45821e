"""The frame of a whole batch as a CUDA graph: captured before the first call, then replayed.

A graph is for one batch size, its bucket. Attention reads no further than each call has come, so lengths need no graphs
of their own. What cannot be captured is launched kernel by kernel, and `warnings` says why.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

from engine.errors import first_line
from engine.qwen3.cuda.events import event
from engine.qwen3.cuda.pinned import PinnedPool
from engine.qwen3.cuda.tuning import Tuning
from engine.qwen3.kernels import pdl
from engine.qwen3.kernels.frame import How, Scratch, decode_frame, is_plain, keep_what_fits_widened
from engine.qwen3.kernels.variants import VENDOR, Variant, candidates
from engine.qwen3.model.frame import FrameModel
from engine.qwen3.model.paged_kv import PagedKv
from engine.qwen3.model.state import CODE_GROUPS, DecodeState

HISTORY_FRAMES: Final = 32
"""The frames whose codes stay on the device: the longest chunk, and what the frames may be ahead of the sound."""
MEASURED_POSITIONS: Final = 200
"""The position of the frames that are measured: 16 s into a sentence."""
REPLAYS: Final = 5
SCRATCH_ROWS: Final = 64
"""The fewest rows of scratch, however few the calls: a prompt's positions are rows too."""
UPLOADS: Final = 64
"""The uploads that may be on their way at once: two steps' sound in batches of every size is half of them."""

Replay = Callable[[], None]


def buckets(largest: int) -> tuple[int, ...]:
    """Returns 1, 2, 4, … up to `largest`, which is one itself."""
    sizes = [1]
    while sizes[-1] * 2 < largest:
        sizes.append(sizes[-1] * 2)
    return tuple(sizes) if largest == sizes[-1] else (*sizes, largest)


def bucket_of(sizes: Sequence[int], rows: int) -> int:
    """Returns the smallest of the sizes, which rise, that holds so many rows."""
    return sizes[bisect_left(sizes, rows)]


class Capture:
    """Captures the graphs of one stream. They share one pool of memory, for no two of them ever run at once."""

    def __init__(self, stream: torch.cuda.Stream, enabled: bool) -> None:
        self._stream = stream
        self._pool = torch.cuda.graph_pool_handle() if enabled else None
        self.enabled = enabled
        self.graphs = 0
        self._captured: list[Callable[[], None]] = []  # a graph knows addresses alone: what it works on must stay
        self.warnings: list[str] = []

    def __call__(self, name: str, work: Callable[[], None]) -> Replay:
        """Returns `work` as one graph, or `work` itself where that cannot be. `work` has been run once then."""
        # What `work` reads has just been made, on another stream.
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            work()  # compiles the kernels and sets the libraries up, which capture forbids
        self._stream.synchronize()
        if not self.enabled:
            return work
        graph = torch.cuda.CUDAGraph()
        try:
            # torch.cuda.graph() collects garbage and empties caches each time: seconds, over all graphs.
            with torch.cuda.stream(self._stream):
                graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                try:
                    work()
                finally:
                    graph.capture_end()
        except RuntimeError as error:
            torch.cuda.synchronize()
            self.warnings.append(f"CUDA graph of {name}: {first_line(error)}; its kernels are launched one by one")
            return work
        self.graphs += 1
        self._captured.append(work)
        return graph.replay


class Uploads:
    """Sends small integers to the device without waiting, from page-locked rows taken in turn.

    A row is written again only after the copy from it has run. With UPLOADS rows nobody ever waits for that.
    """

    def __init__(self, width: int) -> None:
        self._pool = PinnedPool(UPLOADS * width, torch.int64, 1)
        self._rows = self._pool.take().view(UPLOADS, width)
        self._host = self._rows.numpy()
        self._sent: list[torch.cuda.Event | None] = [None] * UPLOADS
        self._next = 0
        self.warning = self._pool.warning

    def send(self, values: Sequence[int], to: Tensor) -> None:
        """Copies the values to the first places of `to`, on the current stream."""
        row, self._next = self._next, (self._next + 1) % UPLOADS
        sent = self._sent[row]
        if sent is None:
            sent = self._sent[row] = event()
        else:
            sent.synchronize()
        self._host[row, : len(values)] = values
        to[: len(values)].copy_(self._rows[row, : len(values)], non_blocking=True)
        sent.record()


class FrameGraphs:
    """One graph of `decode_frame` for each bucket."""

    def __init__(self, model: FrameModel, state: DecodeState, capture: Capture, tuning: Tuning, largest: int) -> None:
        self.sizes = buckets(largest)
        device = state.x.device
        self.model, self._state, self._capture, self._tuning = model, state, capture, tuning
        self._slots = torch.full((largest,), state.scratch, dtype=torch.int64, device=device)
        self.codes = torch.zeros(largest, CODE_GROUPS, dtype=torch.int64, device=device)
        self.history = torch.zeros(state.slots + 1, HISTORY_FRAMES, CODE_GROUPS, dtype=torch.int64, device=device)
        self.scratch = Scratch.allocate(model, max(largest, SCRATCH_ROWS))
        self._uploads = Uploads(largest)
        self._pdl = pdl.supported(device.index)
        self._replays: dict[int, Replay] = {}
        self.seconds: dict[int, float] = {}
        """The seconds that a frame of each bucket takes, measured 16 s into a sentence."""
        self.variants: dict[int, Variant] = {}

    def launch(self) -> None:
        """Launches once all that may be captured; within `ahead.compiling` this compiles it."""
        for size in self.sizes:
            for _, work in self._possible(size):
                work()

    def build(self) -> None:
        """Captures, measures, and keeps the fastest of each bucket. The GPU must have nothing else to do."""
        variants = [variant for size in self.sizes for variant, _ in self._possible(size)]
        if VENDOR in variants and not is_plain(self.model):
            free, _ = torch.cuda.mem_get_info(self._slots.device)
            keep_what_fits_widened(self.model, self.scratch, free)
        captured = {
            size: [(variant, self._capture(f"frame of {size}", work)) for variant, work in self._possible(size)]
            for size in reversed(self.sizes)  # the largest first: the smaller ones fit in its memory
        }
        self._fill()
        for size in self.sizes:
            timed = [(self._measure(size, replay), replay, variant) for variant, replay in captured.pop(size)]
            self.seconds[size], self._replays[size], self.variants[size] = min(timed, key=lambda entry: entry[0])
            self._tuning.put(f"frame of {size}", {"variant": asdict(self.variants[size])})
        if VENDOR not in self.variants.values():
            self.scratch.kept.clear()
        self._state.position.zero_()
        self._state.frame.zero_()
        self._slots.fill_(self._state.scratch)
        self._empty()

    @property
    def warnings(self) -> list[str]:
        return [self._uploads.warning] if self._uploads.warning else []

    def run(self, slots: Sequence[int]) -> Tensor:
        """Makes the next frame of each slot, on the current stream. Returns the codes [bucket, 16] on the device."""
        size = bucket_of(self.sizes, len(slots))
        padded = [*slots, *[self._state.scratch] * (size - len(slots))]
        self._uploads.send(padded, self._slots)
        self._replays[size]()
        return self.codes[:size]

    def _possible(self, size: int) -> list[tuple[Variant, Callable[[], None]]]:
        """Returns what is to be measured for a bucket: only what measured fastest before, where that is known."""
        possible = candidates(size, is_plain(self.model))
        known = self._tuning.get(f"frame of {size}")
        if known is not None:
            possible = tuple(v for v in possible if asdict(v) == known["variant"]) or possible
        slots, codes = self._slots[:size], self.codes[:size]

        def work(how: How) -> None:
            decode_frame(self.model, self._state, slots, codes, self.scratch, self.history, how)

        return [(variant, partial(work, How(variant, self._pdl))) for variant in possible]

    @property
    def _measured_position(self) -> int:
        return min(MEASURED_POSITIONS, self._state.talker_kv.max_positions // 2)

    def _fill(self) -> None:
        """Gives every slot the pages of a sentence as long as those that are measured, for calls do not share any."""
        kv = self._state.talker_kv
        if isinstance(kv, PagedKv):
            for slot in range(len(self._slots)):
                # Where there is no memory for all, padding's page is read, which takes a little less time.
                kv.hold(slot, self._measured_position + REPLAYS + 1)

    def _empty(self) -> None:
        kv = self._state.talker_kv
        if isinstance(kv, PagedKv):
            for slot in range(len(self._slots)):
                kv.release(slot)
            kv.shrink()

    def _measure(self, size: int, replay: Replay) -> float:
        state = self._state
        state.position.fill_(self._measured_position)
        self._slots[:size] = torch.arange(size, device=self._slots.device)
        return measure(replay)


def measure(replay: Replay) -> float:
    """Returns the seconds of one replay, the median of a few."""
    replay()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(REPLAYS + 1)]  # type: ignore[no-untyped-call]
    marks[0].record()
    for mark in marks[1:]:
        replay()
        mark.record()
    marks[-1].synchronize()
    spans: list[float] = sorted(a.elapsed_time(b) for a, b in pairwise(marks))
    return spans[len(spans) // 2] / 1e3
