"""The endpoints about the server itself: /v1/models, /v1/info, /health, /metrics, /cache/clear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Final, Literal

from aiohttp import web
from prometheus_client import exposition
from pydantic import BaseModel, ConfigDict, Field

from engine.api.service import SPEECH, SpeechService
from engine.encode import FORMATS, SAMPLE_RATES_HZ
from engine.web.errors import ApiError
from engine.web.operations import Operation

OPENAI_MODELS: Final = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
"""The names of models that OpenAI's clients ask for. All of them mean the one model that there is."""

HEALTH: Final = web.AppKey("health", list[Callable[[], Mapping[str, Any]]])
"""The list to which other parts of the process add functions that give their part of /health.

Their `warnings` come behind the engine's.
"""


class Model(BaseModel):
    """A model, as OpenAI lists one."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "talkspurt"


class ModelList(BaseModel):
    """The models that may be named in a request."""

    object: Literal["list"] = "list"
    data: list[Model]


class AudioModelList(ModelList):
    """The same for clients that look for `models`, as Open WebUI does."""

    models: list[Model]


class FormatInfo(BaseModel):
    """One `response_format`."""

    name: str
    content_type: str
    sample_rates: list[int]
    default_sample_rate: int


class Info(BaseModel):
    """What this server can do and what it allows."""

    version: str
    engine: str
    model_id: str
    sample_rate: int = Field(description="the engine's own")
    can_clone: bool
    voices: list[str]
    default_voice: str
    languages: list[str]
    formats: list[FormatInfo]
    default_response_format: str
    sample_rates: list[int]
    limits: dict[str, float]


class Health(BaseModel):
    """How the server does. The engine adds its own state; the telephone side adds its calls."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    status: Literal["ok", "loading"] = Field(
        description="`loading`: the engine was lost and is being started again; speech is answered by 503 until then"
    )
    engine: str
    model_loaded: bool
    model_id: str
    cuda: bool
    gpu_name: str | None
    gpu_allocated_mb: float
    gpu_reserved_mb: float
    queue_depth: int = Field(description="speech requests being synthesised")
    max_queue_depth: int
    voices: list[str]
    audio_cache_size: int
    audio_cache_max: int
    audio_cache_bytes: int
    audio_cache_hits: int
    voice_cache_size: int
    voice_cache_max: int
    voice_cache_hits: int
    warnings: list[str]
    engine_status: dict[str, Any] = Field(description="everything that the engine says of itself")


class CacheCleared(BaseModel):
    """How many entries were thrown away."""

    audio_cleared: int
    voice_cleared: int


async def list_models(request: web.Request) -> web.Response:
    names = _models(request.app[SPEECH])
    return web.json_response(ModelList(data=[Model(id=name) for name in names]).model_dump())


async def list_audio_models(request: web.Request) -> web.Response:
    models = [Model(id=name) for name in _models(request.app[SPEECH])]
    return web.json_response(AudioModelList(data=models, models=models).model_dump())


async def get_model(request: web.Request) -> web.Response:
    name = request.match_info["model"]
    if name not in _models(request.app[SPEECH]):
        raise ApiError(404, "NOT_FOUND", f"no model {name!r}; /v1/models lists what there is", param="model")
    return web.json_response(Model(id=name).model_dump())


def _models(service: SpeechService) -> list[str]:
    return [service.engine.status().model_id, *OPENAI_MODELS]


async def get_info(request: web.Request) -> web.Response:
    service = request.app[SPEECH]
    engine, settings, voices = service.engine, service.settings, service.voice_settings
    info = Info(
        version=version("talkspurt"),
        engine=engine.name,
        model_id=engine.status().model_id,
        sample_rate=engine.sample_rate_hz,
        can_clone=engine.can_clone,
        voices=service.voice_names(),
        default_voice=engine.resolve_voice(""),
        languages=sorted({language for voice in engine.voices() for language in voice.languages}),
        formats=[
            FormatInfo(
                name=form.name,
                content_type=form.media_type,
                sample_rates=list(form.rates_hz),
                default_sample_rate=form.rate_hz(engine.sample_rate_hz),
            )
            for form in FORMATS.values()
        ],
        default_response_format=settings.response_format(None),
        sample_rates=list(SAMPLE_RATES_HZ),
        limits={
            "max_input_chars": settings.max_input_chars,
            "max_queue_depth": settings.max_queue_depth,
            "request_timeout_s": settings.request_timeout,
            "max_upload_bytes": voices.max_upload_bytes,
            "reference_min_s": voices.reference_min_s,
            "reference_max_s": voices.reference_max_s,
        },
    )
    return web.json_response(info.model_dump())


async def get_health(request: web.Request) -> web.Response:
    health = engine_health(request.app[SPEECH])
    for contribute in request.app.get(HEALTH, []):
        told = dict(contribute())
        health["warnings"] += told.pop("warnings", [])
        health |= told
    return web.json_response(health)


def engine_health(service: SpeechService) -> dict[str, Any]:
    """Returns the speech part of /health."""
    status = service.engine.status()
    details, voice_cache_max = status.details, status.voice_cache_max
    return Health(
        status="ok" if status.ready else "loading",
        engine=service.engine.name,
        model_loaded=status.model_loaded,
        model_id=status.model_id,
        cuda=bool(details.get("cuda", False)),
        gpu_name=details.get("gpu_name"),
        gpu_allocated_mb=details.get("gpu_allocated_mb", 0),
        gpu_reserved_mb=details.get("gpu_reserved_mb", 0),
        queue_depth=service.synthesizer.depth,
        max_queue_depth=service.settings.max_queue_depth,
        voices=service.voice_names(),
        audio_cache_size=len(service.cache),
        audio_cache_max=service.cache.max_entries,
        audio_cache_bytes=service.cache.size_bytes,
        audio_cache_hits=service.cache.hits,
        voice_cache_size=status.voice_cache_size or 0,
        voice_cache_max=service.voice_settings.voice_cache_max if voice_cache_max is None else voice_cache_max,
        voice_cache_hits=status.voice_cache_hits or 0,
        warnings=list(status.warnings),
        engine_status=status.told(),
    ).model_dump()


async def get_metrics(request: web.Request) -> web.Response:
    encode, content_type = exposition.choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(request.app[SPEECH].metrics.registry), headers={"Content-Type": content_type})


async def clear_caches(request: web.Request) -> web.Response:
    service = request.app[SPEECH]
    cleared = CacheCleared(audio_cleared=service.cache.clear(), voice_cleared=service.engine.clear_voices())
    return web.json_response(cleared.model_dump())


OPERATIONS: Final = [
    Operation(
        "GET",
        "/v1/models",
        list_models,
        "List the models",
        {200: ("the engine's model, and OpenAI's names, which mean the same", (ModelList,))},
    ),
    Operation(
        "GET",
        "/v1/audio/models",
        list_audio_models,
        "List the models, where some clients look for those that speak",
        {200: ("the same as /v1/models, in `models` too", (AudioModelList,))},
    ),
    Operation(
        "GET",
        "/v1/models/{model}",
        get_model,
        "Look a model up",
        {200: ("the model", (Model,))},
        errors=(404,),
    ),
    Operation(
        "GET", "/v1/info", get_info, "What this server can do", {200: ("formats, rates, voices, limits", (Info,))}
    ),
    Operation(
        "GET",
        "/health",
        get_health,
        "How the server does",
        {200: ("its state; always open, whatever API_KEY is", (Health,))},
    ),
    Operation("GET", "/metrics", get_metrics, "Prometheus metrics", {200: ("the exposition format", ("text",))}),
    Operation(
        "POST",
        "/cache/clear",
        clear_caches,
        "Empty the caches",
        {200: ("how many entries were thrown away", (CacheCleared,))},
        curl="-X POST",
    ),
]
