"""ENGINE=qwen3: Qwen3-TTS on a GPU, in a process of its own. This module imports no torch."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.extras import install
from engine.qwen3.host.admission import Admission
from engine.qwen3.host.clones import Clones
from engine.qwen3.host.priming import Priming
from engine.qwen3.host.process import WORKER
from engine.qwen3.host.supervisor import HANG_TIMEOUT_S, REBUILD_DELAYS_S, Supervisor
from engine.qwen3.host.voices import Catalog, find_voices, kind_of, language_name
from engine.qwen3.messages import Audio, Beat, Cancel, Event, Failed, Learned, Ready, Refused, Speak
from engine.qwen3.settings import NARROWBAND_HZ, SAMPLE_RATE_HZ, QwenSettings
from engine.settings import VoiceSettings
from engine.speech import (
    CannotClone,
    Engine,
    Pcm,
    Priority,
    SpeechError,
    Style,
    UnspeakableText,
    Voice,
    VoiceReference,
)
from engine.status import EngineStatus

# A call's sentence that has no place so long after its sound was needed is refused: another voice at once is better
# than this one after a silence. In a large batch some sentence ends every few milliseconds.
CALL_PATIENCE_S: Final = 0.3
# Other sentences wait for this share of REQUEST_TIMEOUT: a refusal tells the client more than a timeout.
PATIENCE: Final = 0.9


@dataclass(eq=False, slots=True)
class _Stream:
    """One sentence that somebody listens to."""

    events: asyncio.Queue[Audio | Exception] = field(default_factory=asyncio.Queue)
    asked: bool = False
    """True from when the process is told to speak until the sentence has ended."""


class Qwen3Engine(Engine):
    """The Qwen3-TTS engine: many callers in one batch."""

    name = "qwen3"
    sample_rate_hz = SAMPLE_RATE_HZ
    other_rates_hz = (NARROWBAND_HZ,)

    def __init__(
        self,
        settings: QwenSettings,
        voices: VoiceSettings,
        request_timeout_s: float,
        *,
        hang_timeout_s: float = HANG_TIMEOUT_S,
        rebuild_delays_s: Sequence[float] = REBUILD_DELAYS_S,
        command: tuple[str, ...] = WORKER,
    ) -> None:
        self._settings = settings
        self._voice_settings = voices
        self._request_timeout_s = request_timeout_s
        self._catalog = Catalog(kind_of(settings.model_id))
        self._supervisor = Supervisor(
            settings,
            self._on_event,
            self._on_lost,
            hang_timeout_s=hang_timeout_s,
            rebuild_delays_s=rebuild_delays_s,
            command=command,
        )
        self._clones = Clones(self._supervisor.send, voices.voice_cache_max, request_timeout_s)
        self._streams: dict[int, _Stream] = {}
        self._numbers = count()
        self._admission = Admission(settings.max_batch, self._supervisor.work, settings.max_wait_ms / 1e3)
        self._priming = Priming(
            settings.prime_languages, voices, self._clones, self._admission.quiet, self._supervisor.send
        )
        self._facts: Mapping[str, Any] = {}
        self._worker_warnings: tuple[str, ...] = ()

    @property
    def can_clone(self) -> bool:  # type: ignore[override]
        return self._catalog.kind == "base"

    async def start(self) -> None:
        self._check_installed()
        self._catalog = await find_voices(self._catalog.kind, self._voice_settings)
        if self._settings.preload_model:
            await self._supervisor.loaded()
        else:
            await self._supervisor.stand_by()

    async def close(self) -> None:
        await self._supervisor.close()
        self._on_lost(SpeechError("the engine was closed"))
        await self._priming.close()

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        text = sentence.strip()
        if not any(char.isalnum() for char in text):
            raise UnspeakableText(f"there is nothing to say in {text[:60]!r}")
        live = style.priority is Priority.CALL
        self._admission.check(live)
        language = language_name(style.language)
        voice, reference = self._catalog.chosen(style)
        number, stream = next(self._numbers), _Stream()
        self._admission.begin(live)
        try:
            await self._supervisor.loaded()
            # The voice is held until the sentence has ended, so that it is not forgotten meanwhile.
            async with self._clones.held(reference, self._catalog.owns(reference)):
                self._streams[number] = stream
                stream.asked = True
                self._supervisor.send(
                    Speak(
                        number=number,
                        text=text,
                        voice=voice if reference is None else reference.digest,
                        language=language,
                        instructions=self._catalog.instructions(style),
                        speed=style.speed,
                        temperature=style.temperature,
                        top_p=style.top_p,
                        seed=style.seed,
                        priority=int(style.priority),
                        needed_in_s=_needed_in_s(style),
                        patience_s=CALL_PATIENCE_S if live else PATIENCE * self._request_timeout_s,
                        heard_s=style.heard_s,
                        narrowband=self.rate_hz(style) == NARROWBAND_HZ,
                    )
                )
                while stream.asked:
                    audio = await self._next(stream)
                    stream.asked = audio.end is None
                    if audio.pcm:
                        yield np.frombuffer(audio.pcm, np.int16)
        finally:
            self._streams.pop(number, None)
            if stream.asked:
                self._supervisor.send(Cancel(number))
            self._admission.end(live)

    def check_room(self) -> None:
        self._admission.check_begin()

    def voices(self) -> Sequence[Voice]:
        return self._catalog.voices()

    def resolve_voice(self, name: str) -> str:
        return self._catalog.resolve(name)

    def deterministic(self, style: Style) -> bool:
        return style.seed is not None or style.temperature == 0

    def status(self) -> EngineStatus:
        supervisor = self._supervisor
        warnings = (*self._worker_warnings, *self._catalog.warnings(), supervisor.warning)
        return EngineStatus(
            engine=self.name,
            model_id=self._settings.model_id,
            model_loaded=supervisor.state == "ready",
            queue_depth=self._admission.users,
            ready=supervisor.state != "rebuilding",
            warnings=tuple(filter(None, warnings)),
            capacity=self._admission.capacity,
            refused=self._admission.refused,
            faults=supervisor.faults,
            idle_unloads=supervisor.unloads,
            voice_cache_size=len(self._clones),
            voice_cache_max=self._voice_settings.voice_cache_max,
            voice_cache_hits=self._clones.hits,
            voice_cache_misses=self._clones.misses,
            details={
                "state": supervisor.state,
                "pid": supervisor.pid,
                "lag_ms": round(self._admission.lag_s * 1e3, 1),
                **self._facts,
            },
        )

    async def prepare_clone(self, reference: VoiceReference) -> None:
        if not self.can_clone:
            raise CannotClone(self.name)
        self._admission.begin(live=False)
        try:
            await self._supervisor.loaded()
            async with self._clones.held(reference):
                self._priming.make_ready(reference.digest)
        finally:
            self._admission.end(live=False)

    def clear_voices(self) -> int:
        return self._clones.clear()

    async def _next(self, stream: _Stream) -> Audio:
        seconds = self._request_timeout_s
        try:
            async with asyncio.timeout(seconds):
                event = await stream.events.get()
        except TimeoutError:
            if stream.events.empty():
                raise SpeechError(f"no speech came within {seconds:g} s (REQUEST_TIMEOUT)") from None
            event = stream.events.get_nowait()
        if isinstance(event, Exception):
            stream.asked = False
            raise event
        return event

    # What the process says

    def _on_event(self, event: Event) -> None:
        match event:
            case Audio(number, sent_s=sent_s):
                if sent_s is not None:
                    self._admission.heard(sent_s)
                if number in self._streams:
                    self._streams[number].events.put_nowait(event)
            case Failed(number, message):
                if number in self._streams:
                    self._streams[number].events.put_nowait(SpeechError(message))
            case Refused(number):
                if number in self._streams:
                    self._streams[number].events.put_nowait(self._admission.refuse())
            case Learned(key, error):
                self._clones.on_learned(key, error)
            case Ready(kind, instructable, facts, warnings):
                if kind != self._catalog.kind:
                    self._catalog = Catalog(kind, self._catalog.references)
                self._catalog.instructable = instructable
                self._set_facts(facts, warnings)
                self._priming.begin(self._catalog)
            case Beat(facts, warnings):
                self._set_facts(facts, warnings)

    def _set_facts(self, facts: Mapping[str, Any], warnings: tuple[str, ...]) -> None:
        self._facts, self._worker_warnings = facts, warnings
        self._admission.capacity = facts.get("capacity")
        self._admission.http_capacity = facts.get("http_capacity")

    def _on_lost(self, error: SpeechError) -> None:
        self._set_facts({}, self._worker_warnings)
        self._priming.cancel()
        for stream in self._streams.values():
            stream.events.put_nowait(error)
        self._clones.on_lost(error)

    # What it starts with

    def _check_installed(self) -> None:
        missing = [name for name in ("torch", "transformers", "qwen_tts") if importlib.util.find_spec(name) is None]
        if missing:
            raise SpeechError(f"ENGINE=qwen3 needs {', '.join(missing)}: {install('gpu')}")
        folder = self._settings.model_id
        if folder.startswith((".", "/", "~")) and not Path(folder).expanduser().is_dir():
            raise SpeechError(f"MODEL_ID={folder}: there is no such folder")


def _needed_in_s(style: Style) -> float:
    needed_at_s = style.needed_at_s
    return 0.0 if needed_at_s is None else max(0.0, needed_at_s - asyncio.get_running_loop().time())
