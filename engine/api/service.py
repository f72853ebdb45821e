"""The service behind the routes: engine, settings, stored voices and synthesizer. It turns requests into jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from contextlib import suppress
from typing import Any, Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from engine.api.admission import Admission
from engine.api.engine_metrics import EngineCollector
from engine.api.metrics import SpeechMetrics
from engine.api.requests import CaptionedRequest, CloneRequest, PcmRequest, SpeechRequest
from engine.api.synthesis import SpeechJob, Synthesizer
from engine.api.voice_names import KOKORO_VOICES, OPENAI_VOICES, QWEN_VOICES, own_name
from engine.cache import AudioCache
from engine.encode import FORMATS, FormatName
from engine.lexicon import Lexicon
from engine.settings import SpeechSettings, VoiceSettings
from engine.speech import CannotClone, Engine, Priority, Style, UnknownVoice, VoiceReference
from engine.voice_store import VoiceStore
from engine.web.errors import ApiError, empty_input

UPLOADS: Final = 8
"""The recordings that are read or decoded at once: each is in memory as a whole."""
DECODERS: Final = 2
"""The uploads that are decoded at once, each in a process of its own."""


class SpeechService:
    """One engine behind the speech endpoints."""

    def __init__(
        self, engine: Engine, settings: SpeechSettings, voice_settings: VoiceSettings, registry: CollectorRegistry
    ) -> None:
        self.engine = engine
        self.settings = settings
        self.voice_settings = voice_settings
        self.metrics = SpeechMetrics(registry)
        registry.register(EngineCollector(engine))
        self.cache = AudioCache(settings.audio_cache_max, settings.audio_cache_max_bytes)
        self.voices = VoiceStore(voice_settings.voices_dir, voice_settings.voices_max)
        self.lexicon: Lexicon | None = None
        """How words are pronounced in the requests to come."""
        self.voices_lock = asyncio.Lock()
        """The lock that is held while the stored voices change."""
        self.decoding = asyncio.Semaphore(DECODERS)
        self.uploads = Admission(UPLOADS, "recordings are being uploaded")
        self.synthesizer = Synthesizer(engine, settings, self.cache, self.metrics)

    def job(
        self,
        request: SpeechRequest,
        form: FormatName | None = None,
        *,
        text: str | AsyncIterable[str] | None = None,
        reference: VoiceReference | None = None,
    ) -> SpeechJob:
        """Returns the job that a request asks for, in `form` where the endpoint decides that. Raises ApiError.

        `text` replaces the request's own where it is still being written, and `reference` replaces its voice.
        """
        chosen = FORMATS[form or request.response_format or self.settings.response_format(request.model)]
        text = self._checked(request.input) if text is None else text
        voice = ""
        if reference is None:
            voice, reference = self._voice(request.voice_name())
        style = Style(
            voice=voice,
            language=request.language_code(),
            instructions=request.instructions or request.instruct or None,
            speed=1.0 if request.speed is None else request.speed,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            reference=reference,
            priority=Priority.HTTP,
            lexicon=self.lexicon,
        )
        rate_hz = chosen.rate_hz(self.engine.sample_rate_hz, request.sample_rate)
        return SpeechJob(text, style, chosen, rate_hz, timestamps=bool(request.timestamps))

    def aliases(self) -> dict[str, str]:
        """Returns the voice's id on this engine for each of OpenAI's, Qwen3-TTS's and Kokoro's names."""
        voices: dict[str, str] = {}
        for name in (*QWEN_VOICES, *OPENAI_VOICES, *KOKORO_VOICES):
            with suppress(UnknownVoice):
                voices[name] = self.engine.resolve_voice(KOKORO_VOICES.get(name, name))
        return voices

    def voice_names(self) -> list[str]:
        """Returns every name that a request may give for a voice."""
        own = (voice.id for voice in self.engine.voices())
        stored = (voice.name for voice in self.voices.voices())
        return list(dict.fromkeys((*own, *self.aliases(), *stored)))

    def stored_names(self) -> list[str]:
        """Returns the names of the stored voices."""
        return [voice.name for voice in self.voices.voices()]

    def settle_schemas(self, schemas: dict[str, dict[str, Any]]) -> None:
        """Writes the limits, the default format and the voices' names into the schemas of what clients send."""
        default = self.settings.response_format(None)
        for model in (SpeechRequest, PcmRequest, CaptionedRequest, CloneRequest):
            fields = schemas[model.__name__]["properties"]
            fields["input"]["maxLength"] = self.settings.max_input_chars
            fields["response_format"]["default"] = model.model_fields["response_format"].default or default
            if "voice" in fields:
                names = {"type": "string", "enum": ["", *self.voice_names()]}
                identified = {"type": "object", "properties": {"id": names}, "required": ["id"]}
                fields["voice"]["anyOf"] = [names, identified, {"type": "null"}]

    def too_long(self, characters: int) -> ApiError | None:
        """Returns the error of a text of this length; None where the length is allowed."""
        limit = self.settings.max_input_chars
        if characters <= limit:
            return None
        return ApiError(
            400,
            "INPUT_TOO_LONG",
            f"input has {characters} characters; at most {limit} are allowed (MAX_INPUT_CHARS)",
            param="input",
            context={"characters": characters, "limit": limit},
        )

    def _checked(self, text: str) -> str:
        text = text.strip()
        if not text:
            raise empty_input()
        if error := self.too_long(len(text)):
            raise error
        return text

    def _voice(self, name: str) -> tuple[str, VoiceReference | None]:
        """Returns the voice's id, and its recording if it is a stored one."""
        stored = self.voices.find(name)
        if stored is not None:
            if not self.engine.can_clone:
                raise CannotClone(self.engine.name)
            return stored.name, stored.reference
        try:
            return self.engine.resolve_voice(own_name(name)), None
        except UnknownVoice as error:
            raise UnknownVoice(name, list(dict.fromkeys((*error.known, *self.voice_names())))) from None


SPEECH: Final = web.AppKey("speech", SpeechService)
