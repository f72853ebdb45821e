"""GET /v1/audio/voices lists the voices; POST and DELETE store and delete one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, Literal

from aiohttp import web
from pydantic import BaseModel, Field

from engine.api.pace import Pace
from engine.api.requests import NewVoice, VoiceUpload
from engine.api.service import SPEECH, SpeechService
from engine.api.speech import prepare_reference, uploaded
from engine.speech import CannotClone, UnknownVoice, VoiceReference
from engine.voice_store import NAME, StoredVoice, VoiceStoreError
from engine.web.bodies import read_form
from engine.web.errors import ApiError
from engine.web.operations import Operation


class VoiceEntry(BaseModel):
    """One voice in the list."""

    id: str
    name: str
    languages: list[str] = Field(description='ISO 639-1 codes; ["*"] for any')
    engine: str
    kind: Literal["engine", "stored"]
    aliases: list[str] = Field(description="other names that mean this voice")
    default: bool
    created: int | None = Field(default=None, description="stored voices: when, in seconds since 1970")
    duration_s: float | None = Field(default=None, description="stored voices: how long the recording is")
    ref_text: str | None = Field(default=None, description="stored voices: what is said in the recording")


class VoiceList(BaseModel):
    """Every voice that can be asked for."""

    voices: list[VoiceEntry]
    aliases: dict[str, str] = Field(description="what each of OpenAI's and Qwen3-TTS's names means here")


class CreatedVoice(BaseModel):
    """A stored voice, as OpenAI's API writes one."""

    id: str
    name: str
    created_at: int
    object: Literal["audio.voice"] = "audio.voice"
    type: Literal["audio_sample"] = "audio_sample"


class VoiceDeleted(BaseModel):
    """The answer that a stored voice was deleted."""

    id: str
    deleted: bool


async def list_voices(request: web.Request) -> web.Response:
    return web.json_response(voice_list(request.app[SPEECH]).model_dump())


def voice_list(service: SpeechService) -> VoiceList:
    """Returns the engine's voices, its default first, then the stored ones."""
    engine = service.engine
    aliases = service.aliases()
    default = engine.resolve_voice("")
    entries = [
        VoiceEntry(
            id=voice.id,
            name=voice.name,
            languages=list(voice.languages),
            engine=engine.name,
            kind="engine",
            aliases=[alias for alias, voice_id in aliases.items() if voice_id == voice.id and alias != voice.id],
            default=voice.id == default,
        )
        for voice in engine.voices()
    ]
    entries += [_stored_entry(service, voice) for voice in service.voices.voices()]
    return VoiceList(voices=entries, aliases=aliases)


async def store_voice(request: web.Request) -> web.Response:
    service = request.app[SPEECH]
    name = request.match_info["name"].lower()
    _check_may_be_stored(service, name)
    with service.uploads.place(request.remote or "", Pace()):
        body, file = await read_form(request, VoiceUpload, service.voice_settings.max_upload_bytes)
        voice = await _store(service, name, body, file)
    return web.json_response(_stored_entry(service, voice).model_dump(), status=201)


async def create_voice(request: web.Request) -> web.Response:
    service = request.app[SPEECH]
    with service.uploads.place(request.remote or "", Pace()):
        body, file = await read_form(request, NewVoice, service.voice_settings.max_upload_bytes)
        name = body.name.strip().lower().replace(" ", "-")
        _check_may_be_stored(service, name)
        voice = await _store(service, name, body, file)
    return web.json_response(CreatedVoice(id=voice.name, name=body.name, created_at=voice.created).model_dump())


async def _store(service: SpeechService, name: str, body: VoiceUpload, file: bytes | None) -> StoredVoice:
    file = uploaded(file)
    if not service.engine.can_clone:
        raise CannotClone(service.engine.name)
    reference = await prepare_reference(service, file, body.ref_text)
    # A client that leaves now does not leave half a voice.
    return await asyncio.shield(_save(service, name, body.language or None, reference))


def _check_may_be_stored(service: SpeechService, name: str) -> None:
    if not NAME.fullmatch(name):
        message = "a voice's name has 1 to 64 letters, digits, _ and -, and begins with a letter or digit"
        raise ApiError(400, "INVALID_REQUEST", message, param="name")
    _check_is_free(service, name)


async def delete_voice(request: web.Request) -> web.Response:
    service = request.app[SPEECH]
    name = request.match_info["name"]
    deleted = await asyncio.shield(_delete(service, name))
    if not deleted:
        raise ApiError(404, "VOICE_NOT_FOUND", f"no voice {name!r} is stored", param="name")
    return web.json_response(VoiceDeleted(id=name.lower(), deleted=True).model_dump())


def _check_is_free(service: SpeechService, name: str) -> None:
    if service.voices.find(name) is not None:
        raise ApiError(409, "VOICE_EXISTS", f"a voice {name!r} is stored already; DELETE it first", param="name")
    with suppress(UnknownVoice):
        service.engine.resolve_voice(name)
        raise ApiError(409, "VOICE_EXISTS", f"{name!r} is one of the engine's own voices", param="name")


async def _save(service: SpeechService, name: str, language: str | None, reference: VoiceReference) -> StoredVoice:
    async with service.voices_lock:
        _check_is_free(service, name)
        try:
            return await asyncio.to_thread(service.voices.save, name, language, reference)
        except VoiceStoreError as error:
            raise ApiError(500, "STORAGE_FAILED", str(error)) from None


async def _delete(service: SpeechService, name: str) -> bool:
    async with service.voices_lock:
        try:
            return await asyncio.to_thread(service.voices.delete, name)
        except VoiceStoreError as error:
            raise ApiError(500, "STORAGE_FAILED", str(error)) from None


def _stored_entry(service: SpeechService, voice: StoredVoice) -> VoiceEntry:
    return VoiceEntry(
        id=voice.name,
        name=voice.name,
        languages=[voice.language] if voice.language else ["*"],
        engine=service.engine.name,
        kind="stored",
        aliases=[],
        default=False,
        created=voice.created,
        duration_s=round(voice.duration_s, 3),
        ref_text=voice.reference.text,
    )


OPERATIONS: Final = [
    Operation(
        "GET",
        "/v1/audio/voices",
        list_voices,
        "List the voices",
        {200: ("the engine's voices and the stored ones", (VoiceList,))},
    ),
    Operation(
        "POST",
        "/v1/audio/voices",
        create_voice,
        "Store a voice to be cloned, as OpenAI's clients do",
        {200: ("the voice", (CreatedVoice,))},
        "`audio_sample` is the recording. `consent` and `type` are taken and not used.",
        body=NewVoice,
        form="multipart",
        recording="audio_sample",
        errors=(400, 409, 413, 415, 500, 501, 503, 504),
        curl="-F name=anna -F audio_sample=@reference.wav",
    ),
    Operation(
        "POST",
        "/v1/audio/voices/{name}",
        store_voice,
        "Store a voice to be cloned",
        {201: ("the voice as it is listed", (VoiceEntry,))},
        "`file` is the recording. The voice can then be asked for by its name, also after a restart.",
        body=VoiceUpload,
        form="multipart",
        errors=(400, 409, 413, 415, 500, 501, 503, 504),
        curl="-F file=@reference.wav -F 'ref_text=What is said in it.'",
    ),
    Operation(
        "DELETE",
        "/v1/audio/voices/{name}",
        delete_voice,
        "Delete a stored voice",
        {200: ("it is gone", (VoiceDeleted,))},
        errors=(404, 500),
        curl="-X DELETE",
    ),
]
