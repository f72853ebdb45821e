"""The first words of a server's engine: the apology, which no caller hears unless something goes wrong."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

import structlog

from bridge.line.apology import Apology
from engine.fallback import FallbackEngine
from engine.speech import Engine, Priority, SpeechError, Style, UnspeakableText

log = structlog.get_logger(__name__)

WARM_UP: Final = "Hello."
"""What is said, and not kept, where there is to be no apology."""


class FirstWords:
    """Makes the `apology` of all calls: before the first of them, or during one if the engine cannot speak sooner."""

    def __init__(self, engine: Engine, text: str, style: Style, *, normalize: bool) -> None:
        """`text` is that of the apology; empty for none."""
        self._engine, self._text, self._style, self._normalize = engine, text, style, normalize
        self.apology = Apology()
        """Shared by all calls; empty until it is made."""
        self.late: asyncio.Task[None] | None = None
        """The latest making of it during a call."""

    async def say(self) -> None:
        """Has whatever loads with the first text do so before the first caller waits for it. Raises SpeechError.

        A model that is to be loaded with the first request is not loaded by this: the embedded voice speaks instead.
        """
        engine, style = self._engine, self._style
        loaded = engine.status().model_loaded
        if not loaded:
            if not isinstance(engine, FallbackEngine):
                return
            style, engine = engine.for_spare(style), engine.spare
        made = self.apology if self._text else Apology()
        try:
            await made.make(engine, self._text or WARM_UP, style, normalize=self._normalize)
        except UnspeakableText:
            if loaded:
                raise
            # The embedded voice does not speak this language: the apology is made with the first call.

    def say_late(self) -> None:
        """Begins to make the apology if there is to be one and is none: a call loads the model, or finds it ready."""
        if self._text and not self.apology and (self.late is None or self.late.done()):
            self.late = asyncio.get_running_loop().create_task(self._make_late())

    async def _make_late(self) -> None:
        style = replace(self._style, priority=Priority.BULK)
        try:
            await self.apology.make(self._engine, self._text, style, normalize=self._normalize)
        except SpeechError as error:
            log.error("there is no apology", error=str(error))
