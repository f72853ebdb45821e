"""Priming: the model's process prepares every voice while it is idle, so that no first sentence waits for that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from engine.qwen3.host.clones import Clones
from engine.qwen3.host.voices import Catalog
from engine.qwen3.messages import Prime
from engine.qwen3.settings import LANGUAGES
from engine.settings import VoiceSettings
from engine.speech import SpeechError, Style
from engine.voice_store import VoiceStore


class Priming:
    """Primes voices in the languages of PRIME_LANGUAGES, and for texts whose language cannot be told."""

    def __init__(
        self, languages: str, voices: VoiceSettings, clones: Clones, quiet: asyncio.Event, send: Callable[[Prime], None]
    ) -> None:
        """`quiet` is set while no sentence is being made or waits: only then is a voice cloned unasked."""
        self._languages = [*(LANGUAGES[code] for code in languages.split(",")), None] if languages else []
        self._voices, self._clones, self._quiet, self._send = voices, clones, quiet, send
        self._task: asyncio.Task[None] | None = None

    def begin(self, catalog: Catalog) -> None:
        """Teaches a new process the voices of recordings, and has it make all voices ready."""
        self._task = asyncio.create_task(self._prime(catalog))

    def cancel(self) -> None:
        """Stops teaching; the process is gone."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Stops teaching and waits until that has stopped."""
        self.cancel()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def make_ready(self, voice: str, instructions: str = "") -> None:
        """Has the process make one voice ready, once it has nothing else to do."""
        for language in self._languages:
            self._send(Prime(voice, language, instructions))

    async def _prime(self, catalog: Catalog) -> None:
        if not self._languages:
            return
        if catalog.kind != "base":
            for voice in catalog.voices():
                style = Style(voice=voice.id)
                self.make_ready(catalog.chosen(style)[0], catalog.instructions(style))
            return
        store = VoiceStore(self._voices.voices_dir, self._voices.voices_max)
        await asyncio.to_thread(store.load)
        references = [*catalog.references.values(), *(voice.reference for voice in store.voices())]
        for reference in references[: self._voices.voice_cache_max]:
            await self._quiet.wait()
            with suppress(SpeechError):  # whoever asks for that voice will be told
                async with self._clones.held(reference, catalog.owns(reference)):
                    self.make_ready(reference.digest)
