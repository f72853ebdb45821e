"""An engine with a spare that speaks when the main one cannot: a caller must never be left in silence."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

import structlog

from engine.audio import Resampler
from engine.first_sound import FirstSound
from engine.speech import (
    CannotClone,
    Engine,
    EngineNotReady,
    Pcm,
    Priority,
    SpeechError,
    Style,
    UnknownVoice,
    UnspeakableText,
    Voice,
    VoiceReference,
)
from engine.status import EngineStatus

log = structlog.get_logger(__name__)


class FallbackEngine(Engine):
    """Speaks with `main`. In a call, `spare` speaks each sentence that `main` fails; where `main` is `optional` and did
    not start, it speaks all of them. Its voices are those of this engine until `main` can speak for the first time.

    An HTTP request is answered by the engine it was meant for, or by its error: there nobody listens to silence. With
    `always`, the spare engine answers those too. Both must speak at the same rate; where `main` speaks at the rate that
    the style asks for, the spare engine's sound is brought to it.
    """

    def __init__(self, main: Engine, spare: Engine, *, optional: bool = False, always: bool = False) -> None:
        assert main.sample_rate_hz == spare.sample_rate_hz, "a call's audio cannot change its rate"
        self._main = main
        self.spare = spare
        """The spare engine, which is always ready: it is started with this engine and needs nothing loaded."""
        self._optional = optional
        self._always = always
        self._broken = ""
        """The reason why `main` did not start."""
        self._is_awaited = False
        """Whether `main` has started without being able to speak."""
        self._stood_in = 0

    @property
    def name(self) -> str:  # type: ignore[override]
        return self._active.name

    @property
    def sample_rate_hz(self) -> int:  # type: ignore[override]
        return self._main.sample_rate_hz

    @property
    def other_rates_hz(self) -> tuple[int, ...]:  # type: ignore[override]
        return self._active.other_rates_hz

    @property
    def first_sentence_chars(self) -> int | None:  # type: ignore[override]
        return self._heard.first_sentence_chars

    @property
    def can_clone(self) -> bool:  # type: ignore[override]
        return self._active.can_clone

    @property
    def takes_ipa(self) -> bool:  # type: ignore[override]
        return self._heard.takes_ipa

    @property
    def _active(self) -> Engine:
        return self.spare if self._broken else self._main

    @property
    def _heard(self) -> Engine:
        """The engine that a call hears now, as far as that is known without asking it for a sentence."""
        self._is_awaited = self._is_awaited and not self._main.voices()
        return self.spare if self._is_awaited else self._active

    async def start(self) -> None:
        """Raises SpeechError when `spare` does not start, or `main` does not and is not optional.

        A `main` that cannot speak yet is waited for: until then it is taken for one that fails.
        """
        await self.spare.start()
        try:
            await self._main.start()
        except EngineNotReady as error:
            self._is_awaited = True
            log.warning(f"{self._main.name} cannot speak yet, {self.spare.name} speaks instead", error=str(error))
        except SpeechError as error:
            if not self._optional:
                raise
            self._broken = f"{self._main.name} did not start, {self.spare.name} speaks instead: {error}"
            log.warning(self._broken)

    async def close(self) -> None:
        await self._main.close()
        await self.spare.close()

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        if not self._broken:
            sound, heard = FirstSound(sentence, self.rate_hz(style)), False
            try:
                async with aclosing(self._main.stream(sentence, sound.style(style))) as chunks:
                    async for made in chunks:
                        for pcm in sound.take(made):
                            heard = True
                            yield pcm
                sound.end()
                return
            except (UnknownVoice, UnspeakableText, CannotClone):
                raise
            except SpeechError as error:
                if heard or not (self._always or style.priority is Priority.CALL):
                    raise
                self._stood_in += 1
                log.warning(f"{self._main.name} failed, {self.spare.name} speaks instead", error=str(error))
        spare_style = self.for_spare(style)
        resampler = Resampler(self.spare.rate_hz(spare_style), self.rate_hz(style))
        if resampler.from_hz != resampler.to_hz and (tell := style.on_word_starts) is not None:
            scale = resampler.to_hz / resampler.from_hz
            spare_style = replace(spare_style, on_word_starts=lambda starts: tell([round(at * scale) for at in starts]))
        async with aclosing(self.spare.stream(sentence, spare_style)) as chunks:
            async for pcm in chunks:
                if (ready := resampler.push(pcm)).size:
                    yield ready
        if (ready := resampler.flush()).size:
            yield ready

    def check_room(self) -> None:
        self._active.check_room()

    def voices(self) -> Sequence[Voice]:
        return self._heard.voices()

    def resolve_voice(self, name: str) -> str:
        return self._active.resolve_voice(name)

    def deterministic(self, style: Style) -> bool:
        return self._active.deterministic(style)

    def status(self) -> EngineStatus:
        status = self._active.status()
        return replace(
            status,
            warnings=(self._broken, *status.warnings) if self._broken else status.warnings,
            sentences_by_spare=self._stood_in,
            details={**status.details, "spare_engine": self.spare.name},
        )

    async def prepare_clone(self, reference: VoiceReference) -> None:
        await self._active.prepare_clone(reference)

    def clear_voices(self) -> int:
        return self._active.clear_voices()

    def for_spare(self, style: Style) -> Style:
        """Returns the style of `spare` that is nearest to this one."""
        if self._broken:
            return style
        try:
            voice = self.spare.resolve_voice(style.voice)
        except UnknownVoice:
            voice = ""
        return replace(style, voice=voice, reference=None)
