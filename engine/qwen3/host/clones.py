"""The voices that the model's process has learned from recordings: each once, the most recently used kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from engine.qwen3.messages import Command, Forget, Learn
from engine.speech import SpeechError, VoiceReference


@dataclass(eq=False, slots=True)
class _Clone:
    """One voice, and how many sentences use it now."""

    learned: asyncio.Future[None]
    users: int = 0


class Clones:
    """The learned voices, by their recordings' digests."""

    def __init__(self, send: Callable[[Command], None], max_kept: int, timeout_s: float) -> None:
        self._send = send
        self._max_kept = max_kept
        self._timeout_s = timeout_s
        self._clones: OrderedDict[str, _Clone] = OrderedDict()
        self.hits = 0
        """How often a voice was already there."""
        self.misses = 0
        """How often a voice had to be taken from its recording."""

    def __len__(self) -> int:
        return len(self._clones)

    @asynccontextmanager
    async def held(self, reference: VoiceReference | None, keep: bool = False) -> AsyncIterator[None]:
        """Keeps a voice known to the process within; None is no voice. Raises SpeechError where it cannot be taken.

        `keep`: what is learnt from it may lie on disk.
        """
        if reference is None:
            yield
            return
        clone = self._clones.get(reference.digest)
        if clone is None:
            clone = self._clones[reference.digest] = _Clone(asyncio.get_running_loop().create_future())
            self.misses += 1
            rate_hz = reference.sample_rate_hz
            self._send(Learn(reference.digest, reference.pcm.tobytes(), rate_hz, reference.text, keep))
        else:
            self.hits += 1
        self._clones.move_to_end(reference.digest)
        clone.users += 1
        try:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await asyncio.shield(clone.learned)
            except TimeoutError:
                raise SpeechError(f"the voice was not taken within {self._timeout_s:g} s (REQUEST_TIMEOUT)") from None
            yield
        finally:
            clone.users -= 1
            spare = self._spare()
            for digest in spare[: max(0, len(self._clones) - self._max_kept)]:
                self._forget(digest)

    def clear(self) -> int:
        """Forgets all voices that no sentence uses. Returns how many they were."""
        spare = self._spare()
        for digest in spare:
            self._forget(digest)
        return len(spare)

    def on_learned(self, digest: str, error: str | None) -> None:
        """Notes that the process has taken a voice, or could not."""
        clone = self._clones.get(digest)
        if clone is None or clone.learned.done():
            return
        if error is None:
            clone.learned.set_result(None)
        else:
            del self._clones[digest]
            _fail(clone, SpeechError(error))

    def on_lost(self, error: SpeechError) -> None:
        """Notes that the process is gone: the next one knows none of the voices."""
        for clone in self._clones.values():
            _fail(clone, error)
        self._clones.clear()

    def _spare(self) -> list[str]:
        return [digest for digest, clone in self._clones.items() if not clone.users]

    def _forget(self, digest: str) -> None:
        del self._clones[digest]
        self._send(Forget(digest))


def _fail(clone: _Clone, error: SpeechError) -> None:
    if not clone.learned.done():
        clone.learned.set_exception(error)
        clone.learned.exception()  # retrieved, since perhaps nobody awaits it any more
