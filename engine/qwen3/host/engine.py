"""ENGINE=qwen3: Qwen3-TTS on a GPU, in a process of its own. No torch here."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.hibari import HibariEngine
from engine.qwen3.host.clones import Clones
from engine.qwen3.host.process import WORKER
from engine.qwen3.host.supervisor import HANG_TIMEOUT_S, REBUILD_DELAYS_S, Supervisor
from engine.qwen3.host.voices import HOUSE, NAMED, Catalog, kind_of, recorded_voices
from engine.qwen3.host.words import whole_words
from engine.qwen3.messages import Audio, Beat, Cancel, Event, Failed, Learned, More, Prime, Ready, Refused, Speak
from engine.qwen3.settings import LANGUAGES, SAMPLE_RATE_HZ, QwenSettings
from engine.settings import VoiceSettings
from engine.speech import (
    CannotClone,
    Engine,
    EngineBusy,
    Pcm,
    Priority,
    SpeechError,
    Style,
    UnspeakableText,
    Voice,
    VoiceReference,
)
from engine.status import EngineStatus
from engine.voice_store import VoiceStore

# Sentences that may wait for a place in the batch, for each place that it has: of calls, and as many of others.
WAITING_PER_PLACE: Final = 4
# A call's sentence that has got no place so long after its sound was needed is refused: another voice at once is better
# than this one after a silence. In a large batch some sentence ends every few milliseconds.
CALL_PATIENCE_S: Final = 0.3
# Others wait, as a share of REQUEST_TIMEOUT: to be refused tells more than to see nothing come.
PATIENCE: Final = 0.9
# Spoken by the embedded engine when a Base model was given no recording: its sounds are as many as a sentence can hold.
HOUSE_TEXT: Final = "Good morning, and thank you for calling. I will gladly tell you all that I know about it."


@dataclass(eq=False, slots=True)
class _Stream:
    """One sentence that somebody listens to."""

    events: asyncio.Queue[Audio | Exception] = field(default_factory=asyncio.Queue)
    asked: bool = False
    """The process has been told to speak and has not ended."""
    growing: asyncio.Task[None] | None = None
    """Hands on the rest of a text that was not whole."""


class Qwen3Engine(Engine):
    """Qwen3-TTS, many callers in one batch."""

    name = "qwen3"
    sample_rate_hz = SAMPLE_RATE_HZ
    speaks_growing = True

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
        self._catalogue = Catalog(kind_of(settings.model_id))
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
        self._users = {True: 0, False: 0}
        """Sentences that are being made or wait: whether somebody listens live → how many."""
        self._quiet = asyncio.Event()
        """Nobody waits for anything."""
        self._quiet.set()
        self._refused = 0
        self._priming: asyncio.Task[None] | None = None
        self._instructable = False
        self._facts: Mapping[str, Any] = {}
        self._capacity: int | None = None
        self._worker_warnings: tuple[str, ...] = ()

    @property
    def can_clone(self) -> bool:  # type: ignore[override]
        return self._catalogue.kind == "base"

    async def start(self) -> None:
        self._check_installed()
        await self._find_voices()
        if self._settings.preload_model:
            await self._supervisor.loaded()
        else:
            await self._supervisor.stand_by()

    async def close(self) -> None:
        await self._supervisor.close()
        self._on_lost(SpeechError("the engine was closed"))
        if self._priming is not None:
            await asyncio.gather(self._priming, return_exceptions=True)

    def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        return self._stream(sentence.strip(), None, style)

    async def stream_growing(self, pieces: AsyncIterable[str], style: Style) -> AsyncGenerator[Pcm, None]:
        async with aclosing(whole_words(pieces)) as words:
            # No place is taken before there is something to say.
            first = await anext(words, "")
            async with aclosing(self._stream(first, words, style)) as chunks:
                async for pcm in chunks:
                    yield pcm

    async def _stream(self, text: str, rest: AsyncGenerator[str, None] | None, style: Style) -> AsyncGenerator[Pcm]:
        """Speaks `text`, and `rest` as it comes."""
        if not any(char.isalnum() for char in text):
            raise UnspeakableText(f"there is nothing to say in {text[:60]!r}")
        live = style.priority is Priority.CALL
        if self._users[live] >= self._places * (1 + WAITING_PER_PLACE):
            self._refused += 1
            raise EngineBusy(f"{self._users[live]} sentences are being made or wait, of {self._places} at once")
        language = _language(style.language)
        voice, reference = self._voice(style)
        number, stream = next(self._numbers), _Stream()
        self._begin(live)
        try:
            await self._supervisor.loaded()
            # Held until the sentence has ended, so that it is not forgotten meanwhile.
            async with self._clones.held(reference):
                self._streams[number] = stream
                stream.asked = True
                self._supervisor.send(
                    Speak(
                        number=number,
                        text=text,
                        voice=voice if reference is None else reference.digest,
                        language=language,
                        instructions=self._instructions(style),
                        speed=min(4.0, max(0.25, style.speed)),
                        temperature=style.temperature,
                        top_p=style.top_p,
                        seed=style.seed,
                        priority=int(style.priority),
                        needed_in_s=_needed_in_s(style),
                        patience_s=CALL_PATIENCE_S if live else PATIENCE * self._request_timeout_s,
                        whole=rest is None,
                    )
                )
                if rest is not None:
                    stream.growing = asyncio.create_task(self._hand_on(number, stream, rest))
                while stream.asked:
                    audio = await self._next(stream)
                    stream.asked = audio.end is None
                    if audio.pcm:
                        yield np.frombuffer(audio.pcm, np.int16)
        finally:
            self._streams.pop(number, None)
            if stream.asked:
                self._supervisor.send(Cancel(number))
            self._end(live)
            if stream.growing is not None:
                stream.growing.cancel()
                await asyncio.gather(stream.growing, return_exceptions=True)

    async def _hand_on(self, number: int, stream: _Stream, rest: AsyncGenerator[str, None]) -> None:
        """The rest of a text to the process; what goes wrong on the way to who listens."""
        seconds = self._request_timeout_s
        try:
            while True:
                async with asyncio.timeout(seconds) as limit:
                    text = await anext(rest, "")
                self._supervisor.send(More(number, text, whole=not text))
                if not text:
                    return
        except Exception as error:  # whatever the source of the text raises
            self._supervisor.send(Cancel(number))
            late = SpeechError(f"no text came within {seconds:g} s (REQUEST_TIMEOUT)")
            stream.events.put_nowait(late if limit.expired() else error)

    def voices(self) -> Sequence[Voice]:
        return self._catalogue.voices()

    def resolve_voice(self, name: str) -> str:
        return self._catalogue.resolve(name)

    def deterministic(self, style: Style) -> bool:
        return style.seed is not None or style.temperature == 0

    def status(self) -> EngineStatus:
        supervisor = self._supervisor
        warnings = (*self._worker_warnings, *self._catalogue.warnings(), supervisor.warning)
        return EngineStatus(
            engine=self.name,
            model_id=self._settings.model_id,
            model_loaded=supervisor.state == "ready",
            queue_depth=sum(self._users.values()),
            warnings=tuple(filter(None, warnings)),
            capacity=self._capacity,
            refused=self._refused,
            faults=supervisor.faults,
            idle_unloads=supervisor.unloads,
            voice_cache_size=len(self._clones),
            voice_cache_max=self._voice_settings.voice_cache_max,
            voice_cache_hits=self._clones.hits,
            voice_cache_misses=self._clones.misses,
            details={"state": supervisor.state, "pid": supervisor.pid, **self._facts},
        )

    async def prepare_clone(self, reference: VoiceReference) -> None:
        if not self.can_clone:
            raise CannotClone(self.name)
        self._begin(live=False)
        try:
            await self._supervisor.loaded()
            async with self._clones.held(reference):
                self._make_ready(reference.digest)
        finally:
            self._end(live=False)

    def clear_voices(self) -> int:
        return self._clones.clear()

    # What is asked for

    def _voice(self, style: Style) -> tuple[str, VoiceReference | None]:
        """The key of the style's voice, or its recording where it is cloned."""
        if style.reference is not None:
            if not self.can_clone:
                raise CannotClone(self.name)
            return "", style.reference
        name = self._catalogue.resolve(style.voice)
        match self._catalogue.kind:
            case "base":
                if name not in self._catalogue.references:
                    raise SpeechError(f"there is no recording of {name!r}; put one into VOICES_DIR")
                return "", self._catalogue.references[name]
            case "voice_design":
                return "designed", None
            case _:
                return f"speaker:{name}", None

    def _instructions(self, style: Style) -> str:
        wanted = (style.instructions or "").strip()
        if self._catalogue.kind == "voice_design":
            return f"{NAMED[self._catalogue.resolve(style.voice)].description} {wanted}".strip()
        return wanted if self._instructable else ""

    async def _next(self, stream: _Stream) -> Audio:
        seconds = self._request_timeout_s
        while True:
            try:
                async with asyncio.timeout(seconds):
                    event = await stream.events.get()
                break
            except TimeoutError:
                # It is the text that is waited for, and `_hand_on` does not do that for ever.
                waits_for_text = stream.growing is not None and not stream.growing.done()
                if stream.events.empty() and not waits_for_text:
                    raise SpeechError(f"no speech came within {seconds:g} s (REQUEST_TIMEOUT)") from None
        if isinstance(event, Exception):
            stream.asked = False
            raise event
        return event

    def _begin(self, live: bool) -> None:
        self._users[live] += 1
        self._quiet.clear()
        self._supervisor.work(busy=True)

    def _end(self, live: bool) -> None:
        self._users[live] -= 1
        busy = any(self._users.values())
        if not busy:
            self._quiet.set()
        self._supervisor.work(busy)

    @property
    def _places(self) -> int:
        """Sentences that are made at once: as many as the GPU was found to keep up with, where it was measured."""
        return self._settings.max_batch if self._capacity is None else self._capacity

    # What is made ready

    async def _prime(self) -> None:
        """Teaches the process the voices that it has to be taught, and has it make all of them ready."""
        if not self._settings.prime_languages:
            return
        if self._catalogue.kind != "base":
            for voice in self._catalogue.voices():
                style = Style(voice=voice.id)
                self._make_ready(self._voice(style)[0], self._instructions(style))
            return
        store = VoiceStore(self._voice_settings.voices_dir, self._voice_settings.voices_max)
        await asyncio.to_thread(store.load)
        references = [*self._catalogue.references.values(), *(voice.reference for voice in store.voices())]
        for reference in references[: self._voice_settings.voice_cache_max]:
            await self._quiet.wait()
            with suppress(SpeechError):  # whoever asks for that voice will be told
                async with self._clones.held(reference):
                    self._make_ready(reference.digest)

    def _make_ready(self, voice: str, instructions: str = "") -> None:
        # In a language that could not be told, too.
        if codes := self._settings.prime_languages:
            for language in (*(LANGUAGES[code] for code in codes.split(",")), None):
                self._supervisor.send(Prime(voice, language, instructions))

    # What the process says

    def _on_event(self, event: Event) -> None:
        match event:
            case Audio(number):
                if number in self._streams:
                    self._streams[number].events.put_nowait(event)
            case Failed(number, message):
                if number in self._streams:
                    self._streams[number].events.put_nowait(SpeechError(message))
            case Refused(number):
                if number in self._streams:
                    self._refused += 1
                    busy = EngineBusy(f"no place among {self._places} sentences at once came free in time")
                    self._streams[number].events.put_nowait(busy)
            case Learned(key, error):
                self._clones.on_learnt(key, error)
            case Ready(kind, instructable, facts, warnings):
                if kind != self._catalogue.kind:
                    self._catalogue = Catalog(kind, self._catalogue.references)
                self._instructable = instructable
                self._tell(facts, warnings)
                self._priming = asyncio.create_task(self._prime())
            case Beat(facts, warnings):
                self._tell(facts, warnings)

    def _tell(self, facts: Mapping[str, Any], warnings: tuple[str, ...]) -> None:
        self._facts, self._capacity, self._worker_warnings = facts, facts.get("capacity"), warnings

    def _on_lost(self, error: SpeechError) -> None:
        self._tell({}, self._worker_warnings)
        if self._priming is not None:
            self._priming.cancel()
        for stream in self._streams.values():
            stream.events.put_nowait(error)
        self._clones.on_lost(error)

    # What it starts with

    def _check_installed(self) -> None:
        missing = [name for name in ("torch", "transformers", "qwen_tts") if importlib.util.find_spec(name) is None]
        if missing:
            raise SpeechError(f"ENGINE=qwen3 needs {', '.join(missing)}: pip install 'talkspurt[gpu]'")
        folder = self._settings.model_id
        if folder.startswith((".", "/", "~")) and not Path(folder).expanduser().is_dir():
            raise SpeechError(f"MODEL_ID={folder}: there is no such folder")

    async def _find_voices(self) -> None:
        if self._catalogue.kind != "base":
            return
        references = await asyncio.to_thread(recorded_voices, self._voice_settings)
        self._catalogue = Catalog("base", references or {HOUSE: await _house_voice()})


def _needed_in_s(style: Style) -> float:
    needed_at_s = style.needed_at_s
    return 0.0 if needed_at_s is None else max(0.0, needed_at_s - asyncio.get_running_loop().time())


async def _house_voice() -> VoiceReference:
    """The embedded engine's voice, for a Base model that was given no recording of another."""
    hibari = HibariEngine()
    await hibari.start()
    try:
        pcm = [chunk async for chunk in hibari.stream(HOUSE_TEXT, Style())]
    finally:
        await hibari.close()
    return VoiceReference(np.concatenate(pcm), hibari.sample_rate_hz, HOUSE_TEXT)


def _language(code: str | None) -> str | None:
    if not code:
        return None
    name = LANGUAGES.get(code.lower().replace("_", "-").split("-")[0])
    if name is None:
        raise UnspeakableText(f"Qwen3-TTS speaks {', '.join(LANGUAGES)}, not {code!r}")
    return name
