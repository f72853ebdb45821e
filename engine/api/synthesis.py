"""Makes blocks of encoded audio of a job: admission, cache, synthesis, resampling and encoding in one place."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

from engine.api.admission import Admission
from engine.api.metrics import SpeechMetrics
from engine.api.pace import Pace
from engine.audio import Resampler
from engine.cache import AudioCache, CacheKey, Clip
from engine.encode import Encoder, Format, create_encoder, state_length
from engine.pipeline import speak
from engine.settings import SpeechSettings
from engine.speech import Chunk, Engine, Pcm, Priority, Style
from engine.thread_priority import lower_priority
from engine.web.errors import ApiError
from engine.word_times import WordTime, WordTimes

# The encoders let go of the interpreter, so two of them leave the event loop its share of two cores.
THREADS: Final = 2
# Below the engine's processes: a call waits for those, and for nothing that these threads do.
NICENESS: Final = 15
MAX_HELD_BYTES: Final = 64 * 2**20
"""What all requests together hold of audio that is to be sent whole: 23 minutes of WAV at 24 kHz."""
CACHED_BLOCK_BYTES: Final = 64 * 1024

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class SpeechJob:
    """A text to speak, its style, and the format and rate of its audio."""

    text: str | AsyncIterable[str]
    style: Style
    """The style, whose voice is one of the engine's ids."""
    format: Format
    sample_rate_hz: int
    timestamps: bool = False
    """Whether the times of the words are wanted too."""
    opening_chars: int | None = None
    """Where the first sentence is broken off, if that is before the engine's own `first_sentence_chars`."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of the encoded stream. `data` may be empty, since encoders hold some back."""

    data: bytes
    duration_s: float
    words: tuple[WordTime, ...] = ()
    """The words that are known to end by now, where their times are wanted."""


@dataclass(frozen=True, slots=True)
class SpeechStream:
    """A job under way whose first audio is made."""

    job: SpeechJob
    blocks: AsyncIterator[Block]
    clip: Clip | None = None
    """The whole audio, where it is known."""


class Synthesizer:
    """Makes the audio of every HTTP request on one engine."""

    def __init__(self, engine: Engine, settings: SpeechSettings, cache: AudioCache, metrics: SpeechMetrics) -> None:
        self.engine = engine
        self.cache = cache
        self.metrics = metrics
        self._admission = Admission(settings.max_queue_depth, "requests are being synthesised (MAX_QUEUE_DEPTH)")
        self.held_bytes = 0
        """The audio that is held until it is whole."""
        self._settings = settings
        self._threads = ThreadPoolExecutor(THREADS, "http-audio", lower_priority, (NICENESS,))

    @property
    def depth(self) -> int:
        """The number of requests whose audio is being made."""
        return self._admission.taken

    def close(self) -> None:
        """Ends the threads, once nothing is being made any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def speak(self, job: SpeechJob, address: str, pace: Pace) -> AsyncGenerator[SpeechStream, None]:
        """Begins a job and waits for its first audio; leaving the context ends the job, made or not.

        The audio goes to a client at `address`, at its `pace`. Raises ApiError or SpeechError before any audio;
        `blocks` raises them after that.
        """
        key = self._key(job)
        clip = self.cache.get(key) if key is not None else None
        if clip is not None:
            self.metrics.cache_hits.inc()
            yield SpeechStream(job, _cut(clip), clip)
            return
        try:
            self.engine.check_room()
            with self._admission.place(address, pace):
                self.metrics.cache_misses.inc()
                self.metrics.queue_depth.set(self.depth)
                async with aclosing(self._make(job, key)) as blocks:
                    first = await anext(blocks, None)
                    if first is None:
                        raise ApiError(400, "NO_SENTENCES", "there is nothing to say in this input", param="input")
                    yield SpeechStream(job, _chain(first, blocks))
        finally:
            self.metrics.queue_depth.set(self.depth)

    @asynccontextmanager
    async def whole(self, speech: SpeechStream) -> AsyncGenerator[SpeechStream, None]:
        """Waits until all of a stream's audio is made. Leaving the context frees it.

        Where all requests hold MAX_HELD_BYTES, the stream goes on as it is made, without its length.
        """
        if speech.clip is not None:
            yield speech
            return
        data = bytearray()
        duration_s = 0.0
        words: list[WordTime] = []
        try:
            async for block in speech.blocks:
                data += block.data
                duration_s += block.duration_s
                words += block.words
                self.held_bytes += len(block.data)
                if self.held_bytes > MAX_HELD_BYTES:
                    yield replace(speech, blocks=_chain(Block(bytes(data), duration_s, tuple(words)), speech.blocks))
                    return
            clip = _clip(speech.job, data, duration_s, words)
            yield SpeechStream(speech.job, _cut(clip), clip)
        finally:
            self.held_bytes -= len(data)

    async def _make(self, job: SpeechJob, key: CacheKey | None) -> AsyncGenerator[Block, None]:
        rate_hz = job.sample_rate_hz
        encoder = await self._encode(job.format, lambda: create_encoder(job.format, rate_hz))
        resampler = Resampler(self.engine.sample_rate_hz, rate_hz)
        times = WordTimes(self.engine.sample_rate_hz, job.format.delay_samples / rate_hz) if job.timestamps else None
        kept, kept_words = bytearray(), list[WordTime]()
        samples, begun = 0, False
        stand_ins = self._stand_ins()
        normalize = self._settings.text_normalize
        speech = speak(
            self.engine,
            job.text,
            job.style,
            normalize=normalize,
            by_word=job.timestamps,
            opening_chars=job.opening_chars,
        )
        async with aclosing(speech) as chunks:
            more = True
            while more:
                chunk = await self._next(chunks)
                if chunk is None and not begun:
                    return
                begun = True
                pcm = resampler.push(chunk.pcm) if chunk is not None else resampler.flush()
                work = partial(_encode, encoder, pcm, last=chunk is None)
                data = await self._encode(job.format, work)
                samples += pcm.size
                words: tuple[WordTime, ...] = ()
                if times is not None:
                    words = times.take(chunk) if chunk is not None else times.finish()
                if key is not None:
                    kept += data
                    kept_words += words
                    key = key if self.cache.fits(len(kept)) else None
                yield Block(data, pcm.size / rate_hz, words)
                more = chunk is not None
        if key is not None and self._stand_ins() == stand_ins:
            self.cache.put(key, _clip(job, kept, samples / rate_hz, kept_words))

    async def _next(self, chunks: AsyncGenerator[Chunk, None]) -> Chunk | None:
        limit_s = self._settings.request_timeout
        try:
            async with asyncio.timeout(limit_s):
                return await anext(chunks, None)
        except TimeoutError:
            raise ApiError(504, "SYNTHESIS_TIMEOUT", f"the engine made no audio for {limit_s:g} s") from None

    async def in_background(self, work: Callable[[], Made]) -> Made:
        """Does slow work beside the event loop and after everything that a call waits for; returns its result."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _encode(self, form: Format, work: Callable[[], Made]) -> Made:
        return await self.in_background(work) if form.takes_time else work()

    def _stand_ins(self) -> int:
        """Returns how many sentences a spare engine has spoken: audio with one of them is not what was asked for."""
        return self.engine.status().sentences_by_spare or 0

    def _key(self, job: SpeechJob) -> CacheKey | None:
        """Returns the key under which the finished audio is kept; None where it is not to be kept."""
        if not isinstance(job.text, str) or not self.cache.fits(0):
            return None
        if not self._settings.audio_cache_sampled and not self.engine.deterministic(job.style):
            return None
        return CacheKey(
            engine=self.engine.name,
            model_id=self.engine.status().model_id,
            text=job.text,
            normalize=self._settings.text_normalize,
            style=replace(job.style, priority=Priority.HTTP),
            format=job.format.name,
            sample_rate_hz=job.sample_rate_hz,
            timestamps=job.timestamps,
        )


def _encode(encoder: Encoder, pcm: Pcm, last: bool) -> bytes:
    return encoder.encode(pcm) + encoder.finish() if last else encoder.encode(pcm)


def _clip(job: SpeechJob, data: bytearray, duration_s: float, words: list[WordTime]) -> Clip:
    samples = round(duration_s * job.sample_rate_hz)
    return Clip(state_length(job.format, job.sample_rate_hz, bytes(data), samples), duration_s, tuple(words))


async def _chain(first: Block, rest: AsyncIterator[Block]) -> AsyncGenerator[Block, None]:
    yield first
    async for block in rest:
        yield block


async def _cut(clip: Clip) -> AsyncGenerator[Block, None]:
    words = deque(clip.words)
    for start in range(0, len(clip.data), CACHED_BLOCK_BYTES):
        data = clip.data[start : start + CACHED_BLOCK_BYTES]
        end_s = clip.duration_s * (start + len(data)) / len(clip.data)
        ended = []
        while words and (words[0].end_s <= end_s or start + len(data) == len(clip.data)):
            ended.append(words.popleft())
        yield Block(data, clip.duration_s * len(data) / len(clip.data), tuple(ended))
