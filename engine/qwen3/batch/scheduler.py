"""Decides who is served next: a new call's first sound before all else, then whose sound runs out first, bulk last.

It has no GPU and no clock: the runner asks what to do, does it, and says what it has done and when.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.qwen3.batch.gpu_use import GpuUse
from engine.qwen3.batch.sentence import CHUNK_RAMP, FRAME_S, PATIENCE_S, Sentence, chunk_frames
from engine.speech import Priority

MAX_LEAD_S: Final = 4.0
"""The lead that is enough: what a caller cuts short is thrown away."""
MARGIN_S: Final = 0.04
"""The time kept between a chunk and its need: 10 ms of sound are held back for a fade and 5 in the resampler, a wire
frame of 20 ms has to be whole, and the way to the wire takes a little."""
HEADROOM: Final = 1.3
"""The rows a second that a small batch must reach, as a multiple of what everybody plays."""
MAX_WAITING: Final = 16
"""The most frames of a sentence made and not yet decoded: the runner keeps their codes and those in flight."""
SOUND_S: Final = 0.012
"""The time on the GPU that one step's sound may take, as long as that keeps up."""
FIRST_SOUND_S: Final = 0.003
"""The same of a step in which a sentence's first sound is made: it is heard once the whole step is over."""
BUSY_LOAD: Final = 0.3
"""The share of real time from which on a call's first chunk is two frames. At 0.4 (1,000 calls on an H200) steps take
so long that 5 % of the sentences had their third chunk late after a first one of one frame."""
RUSH_S: Final = 0.5
RUSH_SENTENCES: Final = 40
"""So many sentences of calls that begin within RUSH_S are a rush, in which the first chunk is two frames too: whoever
resamples and plays them lags by more than a first chunk of one frame lasts, and they do not wait for the GPU."""
RUSH_REPLIES: Final = 70
"""The same of all sentences, those over HTTP among them: 140 a second keep the serving process's core half busy."""
FULL_LOAD: Final = 0.85
"""The share of real time that making frames may take; the rest is for new calls and for jitter."""
BULK_LOAD: Final = 0.7
"""The share up to which sentences that nobody listens to live are admitted, so that a call finds room."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What frames and sound cost on this GPU, as measured at the start."""

    frame_s: tuple[tuple[int, float], ...]
    """(rows, seconds) of one frame, by rising rows."""
    sound_s: float
    """Seconds to decode one frame of one call, in chunks of the longest size among many."""

    def frame(self, rows: int) -> float:
        """Returns the seconds of one frame for so many rows: a batch is filled up to the next bucket."""
        at = bisect_left(self.frame_s, (rows, 0.0))
        return self.frame_s[min(at, len(self.frame_s) - 1)][1]

    def rate(self, rows: int) -> float:
        """Returns the frames a second, sound included, in batches of so many rows."""
        return rows / (self.frame(rows) + rows * self.sound_s)

    def load(self, calls: int) -> float:
        """Returns the share of real time that so many calls take; 1.0 is all of it."""
        if not calls:
            return 0.0
        return (self.frame(calls) + calls * self.sound_s) / FRAME_S

    def capacity(self, share: float = FULL_LOAD, lost: Callable[[float], float] = lambda _: 0.0) -> int:
        """Returns how many calls can be served with that share of real time.

        `lost` tells what others on the GPU take beside work that takes a share of it.
        """
        largest = self.frame_s[-1][0]
        low, high = 0, largest
        while low < high:
            middle = (low + high + 1) // 2
            load = self.load(middle)
            if load + lost(load) <= share:
                low = middle
            else:
                high = middle - 1
        return max(1, low)


@dataclass(frozen=True, slots=True)
class Chunks:
    """Sound to be decoded together: the next `frames` frames, one of CHUNK_RAMP, of each sentence.

    A sentence that has ended may have fewer left: what is decoded beyond them is not sound.
    """

    frames: int
    sentences: tuple[Sentence, ...]


class Scheduler:
    """The batch, and the order in which it is served. Times are in seconds of any one clock."""

    def __init__(self, costs: Costs, slots: int, lead_s: float = 0.0) -> None:
        """`lead_s`: while every call has so much ahead of its playback no frame is made; 0 makes all that fits."""
        self._costs = costs
        self._slots = slots
        self.lead_s = lead_s
        self._sentences: list[Sentence] = []
        self._buckets = tuple(rows for rows, _ in costs.frame_s)
        self._turnaround_s = costs.frame(1)
        self._begun: deque[tuple[float, bool]] = deque()
        """When the latest sentences came, and which were calls'."""
        self.use = GpuUse()
        """What the GPU was measured to work."""
        self.capacity = min(slots, costs.capacity())
        """The calls that are admitted; one more would make the others stutter."""
        self.http_capacity = max(1, min(self.capacity, costs.capacity(BULK_LOAD)))
        """How many sentences may be there for one that is no call's to be admitted."""

    def __len__(self) -> int:
        return len(self._sentences)

    def admits(self, priority: int) -> bool:
        """Tells whether one more sentence of this priority can be kept fed beside those that are here."""
        return len(self._sentences) < (self.capacity if priority <= Priority.CALL else self.http_capacity)

    def worked(self, now_s: float, busy_s: float, expected_s: float) -> None:
        """Notes how long the GPU has worked, and how long that would have taken with nobody else on it."""
        self.use.add(now_s, busy_s, expected_s)
        self.capacity = min(self._slots, self._costs.capacity(FULL_LOAD, self.use.lost))
        self.http_capacity = max(1, min(self.capacity, self._costs.capacity(BULK_LOAD, self.use.lost)))

    def add(self, sentence: Sentence) -> None:
        sentence.last_s = sentence.arrived_s
        if self.lead_s:
            # A reply's next sentence is asked for while the one before it is being played.
            sentence.begins_s = max(sentence.begins_s, sentence.needed_at_s)
        self._sentences.append(sentence)
        self._begun.append((sentence.arrived_s, sentence.priority <= Priority.CALL))

    def remove(self, sentence: Sentence) -> None:
        """Frees its place at once: nothing of it is planned any more."""
        if sentence in self._sentences:
            self._sentences.remove(sentence)

    def _step_sounds(self, first: bool) -> int:
        """The frames that one step may decode; fewer while somebody waits for the first sound among them."""
        played = HEADROOM * len(self._sentences) / FRAME_S
        # A step of one frame for everybody and so much sound makes sound as fast as it is played.
        spare = 1 - played * self._costs.sound_s
        enough = played * self._costs.frame(len(self._sentences)) / spare if spare > 0 else math.inf
        most = max(CHUNK_RAMP[-1], (FIRST_SOUND_S if first else SOUND_S) / self._costs.sound_s, enough)
        return int(min(most, len(self._sentences) * CHUNK_RAMP[-1]))

    def frames(self, now_s: float) -> list[Sentence]:
        """Returns the sentences whose next frame to make now, the most urgent first; none where all have enough.

        A frame costs about the same for one as for all, so that whoever can goes along with whoever has to.
        """
        able = [
            sentence
            for sentence in self._sentences
            if not (sentence.finished or sentence.blocked)
            and sentence.waiting < MAX_WAITING
            and sentence.runs_out_s(sentence.made) - now_s < MAX_LEAD_S
        ]
        if self.lead_s and not any(self._has_to(sentence, now_s) for sentence in able):
            return []
        able.sort(key=lambda sentence: self._urgency(sentence, now_s))
        able = able[: self._buckets[-1]]
        # While a new call waits for its first sound, a smaller batch, which is a quicker one: those that cannot wait
        # one step more, and as many as keep everybody fed if every batch were like this one.
        new = [sentence for sentence in able if self._is_new(sentence, now_s)]
        if not new:
            return able
        # Those that somebody listens to over HTTP are new in the same way, but for no call to wait for.
        new = [sentence for sentence in new if sentence.priority <= new[0].priority]
        chosen = set(new)
        horizon = now_s + self._turnaround_s + 2 * self._costs.frame(len(able)) + FRAME_S + MARGIN_S
        must = [
            sentence
            for sentence in able
            if sentence in chosen
            or (sentence.runs_out_s(sentence.made) < horizon and not self._is_new(sentence, now_s))
        ]
        chosen.update(must)
        wanted = HEADROOM * len(self._sentences) / FRAME_S
        enough = (b for b in self._buckets if b >= len(must) and self._costs.rate(b) >= wanted)
        return (must + [sentence for sentence in able if sentence not in chosen])[: next(enough, self._buckets[-1])]

    def sounds(self, now_s: float) -> list[Chunks]:
        """Returns what to decode to sound now, the most urgent first. To be called after `made`."""
        soon_s = self._soon_s
        # A step that takes most of a frame's time cannot be relied on to bring the second chunk before a first chunk of
        # one frame is over; nor can whoever takes in the sound of a rush.
        while self._begun and self._begun[0][0] < now_s - RUSH_S:
            self._begun.popleft()
        rush = len(self._begun) >= RUSH_REPLIES or sum(live for _, live in self._begun) >= RUSH_SENTENCES
        first = 1 if rush or self._costs.load(len(self._sentences)) >= BUSY_LOAD else 0
        due: list[tuple[bool, tuple[int, float], int, Sentence]] = []
        for sentence in self._sentences:
            if not sentence.waiting:
                continue
            left_s = sentence.runs_out_s(sentence.sounded) - now_s
            enough = sentence.waiting >= chunk_frames(max(sentence.chunks, first))
            # Frames that wait to be decoded help nobody when others stop the GPU.
            enough |= left_s < self.lead_s / 2 and sentence.waiting >= CHUNK_RAMP[-2]
            # Without it the caller would have nothing to hear before the next chance comes.
            late = left_s < soon_s
            if enough or (late and sentence.begun_s is not None) or sentence.finished:
                # A sentence's last chunk may be filled up to a size of the ramp, the others have to be one.
                waiting = sentence.waiting
                fits = waiting if sentence.finished else CHUNK_RAMP[bisect_right(CHUNK_RAMP, waiting) - 1]
                due.append((not late, self._urgency(sentence, now_s), min(fits, CHUNK_RAMP[-1]), sentence))
        due.sort(key=lambda entry: entry[:2])
        # No more than a step's worth: what is not urgent must not stand in the way of what is. Those about to run dry
        # all get something, however little, before any gets much.
        left = self._step_sounds(first=any(sentence.begun_s is None for *_, sentence in due))
        sizes = [min(fits, CHUNK_RAMP[0]) for relaxed, _, fits, _ in due if not relaxed]
        left -= sum(sizes)
        for larger in CHUNK_RAMP[1:]:
            for i, size in enumerate(sizes):
                wanted = min(due[i][2], larger)
                if wanted > size and left >= wanted - size:
                    left -= wanted - size
                    sizes[i] = wanted
        for _, _, fits, _ in due[len(sizes) :]:
            left -= fits
            if left < 0:
                break
            sizes.append(fits)
        groups: dict[int, list[Sentence]] = {}
        for size, (_, _, _, sentence) in zip(sizes, due, strict=False):
            # The sound of three frames is made by what makes that of four, so they go together.
            groups.setdefault(CHUNK_RAMP[bisect_left(CHUNK_RAMP, size)], []).append(sentence)
        return [Chunks(frames, tuple(sentences)) for frames, sentences in groups.items()]

    def made(self, sentences: Sequence[Sentence], now_s: float) -> None:
        """Notes that each of the sentences has got its next frame."""
        for sentence in sentences:
            sentence.made += 1
            sentence.last_s = now_s

    def sounded(self, sentences: Sequence[Sentence], frames: int) -> None:
        """Notes that the next frames of each of the sentences are being decoded, or those that it has left."""
        for sentence in sentences:
            sentence.sounded += min(frames, sentence.waiting)
            sentence.chunks += 1

    def took(self, seconds: float) -> None:
        """Notes how long it took from deciding on a chunk of sound to handing it out."""
        # Up at once, down slowly: the next one may meet the same queue.
        self._turnaround_s = max(seconds, self._turnaround_s + (seconds - self._turnaround_s) * 0.02)

    def delivered(self, sentence: Sentence, now_s: float) -> None:
        """Notes that sound of the sentence has been handed out."""
        if sentence.begun_s is None:
            sentence.begun_s = now_s

    @property
    def _soon_s(self) -> float:
        """The sound that a caller has to have left for the next one to come in time."""
        return self._turnaround_s + 2 * self._costs.frame(len(self._sentences)) + MARGIN_S

    def _has_to(self, sentence: Sentence, now_s: float) -> bool:
        """Tells whether a frame is to be made because of this sentence: it is new, its lead is short, or it is no
        call's, and so wanted as soon as can be."""
        if sentence.priority > Priority.CALL or self._is_new(sentence, now_s):
            return True
        # Where others stop the GPU for long the lead has to outlast that, and a chunk.
        lead_s = max(self.lead_s, self._soon_s + CHUNK_RAMP[-1] * FRAME_S)
        return sentence.runs_out_s(sentence.made) - now_s < lead_s

    def _is_new(self, sentence: Sentence, now_s: float) -> bool:
        waits = sentence.begins_s - now_s <= self.lead_s / 2
        return not sentence.made and sentence.priority <= Priority.HTTP and waits

    def _urgency(self, sentence: Sentence, now_s: float) -> tuple[int, float]:
        """Returns a sort key, most urgent first: new calls as they came, then who runs out first, then bulk."""
        if sentence.priority <= Priority.CALL:
            waits = sentence.begun_s is None and sentence.begins_s - now_s <= self.lead_s / 2
            return (0, sentence.arrived_s) if waits else (1, sentence.runs_out_s(sentence.sounded))
        if now_s - sentence.last_s > PATIENCE_S:
            return 1, now_s
        return 1 + sentence.priority, sentence.runs_out_s(sentence.sounded)
