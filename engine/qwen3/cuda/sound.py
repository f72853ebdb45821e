"""Sound on its way to the host: decoded beside the frames, copied beside both, and read one step later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import torch
from torch import Tensor

from engine.qwen3.batch.runner import Frames
from engine.qwen3.batch.scheduler import Chunks
from engine.qwen3.batch.sentence import Sentence
from engine.qwen3.cuda.events import event
from engine.qwen3.cuda.gpu_timer import GpuTimer
from engine.qwen3.cuda.pinned import PinnedPool, Streams
from engine.qwen3.cuda.sound_graphs import SoundGraphs, SoundLayout

SOUND_BUFFERS: Final = 24
"""Page-locked buffers, each for the largest batch of sound. Two steps' sound is on its way at once, in chunks of four
sizes, with many sentences in three batches of a size; one more would have to be asked for while calls speak."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A batch of sound on its way to the host."""

    sentences: tuple[Sentence, ...]
    first: tuple[int, ...]
    """The number of the frame with which each sentence's sound begins."""
    layout: SoundLayout
    buffer: Tensor
    arrived: torch.cuda.Event
    decided_s: float


class SoundOut:
    """Launches the decoding that the scheduler asks for, and reads what has arrived."""

    def __init__(
        self, graphs: SoundGraphs, streams: Streams, timer: GpuTimer, pin: bool, clock: Callable[[], float]
    ) -> None:
        self._graphs, self._streams, self._timer, self._clock = graphs, streams, timer, clock
        self._buffers = PinnedPool(graphs.samples, torch.int16, SOUND_BUFFERS, pin)
        self._copied: torch.cuda.Event | None = None
        self.warning = self._buffers.warning

    def await_copy(self) -> None:
        """Has the sound's stream wait until its last batch has left the buffer that the next one goes to."""
        if self._copied is not None:
            self._streams.sound.wait_event(self._copied)

    def launch(self, chunk: Chunks) -> Iterator[Sound]:
        """Launches a chunk's decoding, in as many batches as is quickest."""
        decided_s = self._clock()
        streams, frames = self._streams, chunk.frames
        waiting = iter(chunk.sentences)
        for rows in self._graphs.cover(len(chunk.sentences), frames):
            sentences = tuple(islice(waiting, rows))
            first = tuple(each.sounded for each in sentences)
            buffer = self._buffers.take()
            streams.sound.wait_stream(streams.frames)
            with torch.cuda.stream(streams.sound):
                self.await_copy()
                with self._timer.timing(self._graphs.expected_s(len(sentences), frames)):
                    made, layout = self._graphs.run([each.slot for each in sentences], first, frames)
            narrow = all(each.request.narrowband for each in sentences)
            size = layout.narrow_size if narrow else layout.size
            streams.copies.wait_stream(streams.sound)
            with torch.cuda.stream(streams.copies):
                buffer[:size].copy_(made[:size], non_blocking=True)
                self._copied = event()
                self._copied.record()
            yield Sound(sentences, first, layout, buffer, self._copied, decided_s)

    def read(self, sound: Sound) -> Iterator[Frames]:
        """Waits for a batch of sound, and yields each sentence's, good until `free`.

        Where all of them want narrowband, nothing else has been copied: the PCM is that of another batch then.
        """
        sound.arrived.synchronize()
        return map(Frames, *(part.numpy() for part in sound.layout.of(sound.buffer)))

    def free(self, sound: Sound) -> None:
        """Takes back the buffer of a batch that has been read."""
        self._buffers.give(sound.buffer)
