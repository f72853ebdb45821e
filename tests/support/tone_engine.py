"""An engine whose sound is known: every sentence a chirp of its voice's own, 20 ms a character; it can also clone."""

from __future__ import annotations

import asyncio

import numpy as np

from engine.speech import CannotClone, Engine, Pcm, SpeechError, Style, UnknownVoice, UnspeakableText, Voice
from engine.status import EngineStatus

RATE_HZ = 24_000
CHARACTER_SAMPLES = 480
CHUNK_SAMPLES = 2_400
AMPLITUDE = 9_000
ALIASES = {
    **dict.fromkeys(("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable"), "low"),
    **dict.fromkeys(("marin", "nova", "onyx", "sage", "shimmer", "verse"), "high"),
    **dict.fromkeys(("vivian", "serena", "uncle_fu", "dylan", "eric", "ryan", "aiden", "ono_anna", "sohee"), "high"),
}


def sound_of(sentence: str, style: Style) -> Pcm:
    """What the engine makes of a sentence: everything in the style shapes it."""
    samples = max(CHUNK_SAMPLES, round(len(sentence) * CHARACTER_SAMPLES / style.speed))
    told = (style.voice, style.language, style.instructions, style.temperature, style.top_p, style.seed)
    told += (style.reference.digest if style.reference else None,)
    shape = np.random.default_rng(abs(hash_of(told)))
    base_hz, step_hz = shape.uniform(200, 700), shape.uniform(40, 160)
    times = np.arange(samples) / RATE_HZ
    steps = np.array([ord(char) % 7 for char in sentence] or [0])
    frequency_hz = base_hz + step_hz * steps[np.minimum((times / times[-1] * len(steps)).astype(int), len(steps) - 1)]
    return np.rint(AMPLITUDE * np.sin(2 * np.pi * np.cumsum(frequency_hz) / RATE_HZ)).astype(np.int16)


def hash_of(value: object) -> int:
    """The same in every process, as hash() is not."""
    return int.from_bytes(repr(value).encode()[-64:].ljust(64), "big") % 2**32


class ToneEngine(Engine):
    """Speaks at once, or as far as `permits` allow once `hold` was called."""

    name = "tone"
    sample_rate_hz = RATE_HZ
    can_clone = True

    def __init__(self) -> None:
        self.spoken: list[tuple[str, Style]] = []
        self.open_streams = 0
        self.idle = asyncio.Event()
        """Set while no stream is open."""
        self.idle.set()
        self.fails: Exception | None = None
        self.fails_after_chunks = 0
        self.is_deterministic = True
        self.prepared: set[str] = set()
        self.refuses_recordings = False
        self._permits: asyncio.Semaphore | None = None
        self.waiting = asyncio.Event()
        """Set when a stream has come to where it may not go on."""

    def hold(self, chunks: int = 0) -> None:
        """From now on make only this many more chunks."""
        self._permits = asyncio.Semaphore(chunks)
        self.waiting.clear()

    def release(self) -> None:
        """Make everything again."""
        held, self._permits = self._permits, None
        for _ in range(1_000):  # more than ever wait
            held.release()

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def stream(self, sentence, style):
        self.open_streams += 1
        self.idle.clear()
        try:
            if "unspeakable" in sentence:
                raise UnspeakableText(f"no sounds for {sentence!r}")
            self.spoken.append((sentence, style))
            sound = sound_of(sentence, style)
            for number, start in enumerate(range(0, sound.size, CHUNK_SAMPLES)):
                if self._permits is not None:
                    if self._permits.locked():
                        self.waiting.set()
                    await self._permits.acquire()
                if self.fails is not None and number >= self.fails_after_chunks:
                    raise self.fails
                yield sound[start : start + CHUNK_SAMPLES]
        finally:
            self.open_streams -= 1
            if not self.open_streams:
                self.idle.set()

    def voices(self):
        return [Voice("low", "Low", ("*",)), Voice("high", "High", ("en", "zh"))]

    def resolve_voice(self, name):
        key = name.lower()
        if key in ("", "low"):
            return "low"
        if key == "high":
            return "high"
        if key in ALIASES:
            return ALIASES[key]
        raise UnknownVoice(name, ["low", "high"])

    def deterministic(self, style):
        return self.is_deterministic or style.seed is not None or style.temperature == 0

    def status(self):
        return EngineStatus(self.name, "tone-1", True, 0, voice_cache_size=len(self.prepared))

    async def prepare_clone(self, reference):
        if not self.can_clone:
            raise CannotClone(self.name)
        if self.refuses_recordings:
            raise SpeechError("nobody speaks in this recording")
        self.prepared.add(reference.digest)

    def clear_voices(self):
        count = len(self.prepared)
        self.prepared.clear()
        return count
