"""What takes time or memory to get ready: models, recognisers, detectors. Each is made once, for all who need it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from bridge.brains.tool import Tool
from bridge.brains.tools import load_tool_servers
from bridge.conversation.recording_retention import HOUR_S, RecordingRetention
from bridge.conversation.recording_writer import RecordingWriter, make_folder
from bridge.conversation.settings import ConversationSettings, models_key
from bridge.conversation.sounds import make_sounds
from bridge.hearing.asr.protocols import PROTOCOLS
from bridge.hearing.asr.recognizer_pool import ModelName, RecognizerPool
from bridge.hearing.smart_turn import SmartTurn
from bridge.hearing.vad import Detector
from bridge.turns.end_of_turn import LANGUAGES

if TYPE_CHECKING:
    from bridge.brains.condenser import Condenser
    from bridge.brains.mcp.servers import McpServers
    from bridge.brains.model_chain import ModelChain

log = structlog.get_logger(__name__)


class Resources:
    """The resources that some settings need are there once `provide` was called with them, until `close`."""

    def __init__(self) -> None:
        self._models: dict[tuple[Any, ...], ModelChain] = {}
        self._condensers: dict[tuple[Any, ...], Condenser] = {}
        self._recognizers: dict[tuple[ModelName, str], RecognizerPool] = {}
        self._detector: Detector | None = None
        self._smart_turn: SmartTurn | None = None
        self._smart_turn_missing = False
        self._tool_servers: dict[Path, McpServers] = {}
        self._writers: dict[Path, RecordingWriter] = {}
        self._sweeping: list[asyncio.Task[None]] = []

    async def provide(self, settings: ConversationSettings) -> None:
        """Makes what calls with these settings need. Raises OSError that says what is missing."""
        if settings.llm_base_url and models_key(settings) not in self._models:
            import bridge.brains.llm  # noqa: F401  (imported now, so that the first call does not wait)
            from bridge.conversation.models import make_condenser, make_models  # takes a second

            self._models[models_key(settings)] = models = make_models(settings)
            self._condensers[models_key(settings)] = make_condenser(models, settings)
        if settings.asr_protocol == "embedded":
            if (key := _recognizer_of(settings)) not in self._recognizers:
                recognizer = RecognizerPool(*key)
                try:
                    await recognizer.start()
                except BaseException:
                    await recognizer.close()
                    raise
                self._recognizers[key] = recognizer
        elif settings.asr_url and settings.local_vad and self._detector is None:
            self._detector = Detector()
            self._detector.load()
        if _turns_have_meaning(settings) and self._smart_turn is None and not self._smart_turn_missing:
            try:
                self._smart_turn = SmartTurn()
            except OSError as error:
                self._smart_turn_missing = True
                log.warning("turns end by silence alone", reason=str(error))
        await asyncio.to_thread(make_sounds, settings.thinking_sound, settings.thinking_sound_db, settings.ringing)
        path = settings.llm_tools
        if path is not None and path not in self._tool_servers and (files := load_tool_servers(path)):
            from bridge.brains.mcp.servers import McpServers  # takes a second and is needed only where one is named

            self._tool_servers[path] = McpServers(files)
            await self._tool_servers[path].start()
        if settings.record_dir is not None and settings.record_dir not in self._writers:
            self._start_recording(settings.record_dir, settings)

    def _start_recording(self, folder: Path, settings: ConversationSettings) -> None:
        try:
            make_folder(folder)
        except OSError as error:
            raise OSError(f"RECORD_DIR={folder}: {error.strerror}") from error
        retention = RecordingRetention(
            folder, max_days=settings.record_max_days, max_bytes=settings.record_max_mb * 10**6
        )
        self._writers[folder] = writer = RecordingWriter(retention)
        self._sweeping.append(asyncio.create_task(_sweep_hourly(writer, retention)))

    @property
    def asks_models(self) -> bool:
        """Whether any agent so far asks a language model."""
        return bool(self._models)

    def models(self, settings: ConversationSettings) -> ModelChain | None:
        """Returns the language models; None where a script answers."""
        return self._models[models_key(settings)] if settings.llm_base_url else None

    def condenser(self, settings: ConversationSettings) -> Condenser | None:
        """Returns what sums up the beginning of long calls; None where a script answers."""
        return self._condensers.get(models_key(settings))

    def recognizer(self, settings: ConversationSettings) -> RecognizerPool | None:
        """Returns the embedded recogniser, or None: of another service, or of a language that it is not ready for."""
        return self._recognizers.get(_recognizer_of(settings)) if settings.asr_protocol == "embedded" else None

    def detector(self, settings: ConversationSettings) -> Detector | None:
        """Returns the detector of speech beside a service that recognises it."""
        return self._detector if settings.asr_url and settings.local_vad else None

    def smart_turn(self, settings: ConversationSettings) -> SmartTurn | None:
        """Returns what judges by the sound whether a turn has ended."""
        return self._smart_turn if _turns_have_meaning(settings) else None

    def served_tools(self, settings: ConversationSettings) -> Sequence[Tool]:
        """Returns the tools that MCP servers list now."""
        servers = self._tool_servers.get(settings.llm_tools) if settings.llm_tools is not None else None
        return servers.tools() if servers is not None else []

    def writer(self, settings: ConversationSettings) -> RecordingWriter | None:
        """Returns what writes the recordings; None where nothing is recorded."""
        return self._writers[settings.record_dir] if settings.record_dir is not None else None

    async def close(self) -> None:
        """Closes everything; the writers come last, for what they have been given is written."""
        for recognizer in self._recognizers.values():
            await recognizer.close()
        if self._smart_turn is not None:
            await self._smart_turn.close()
        if self._detector is not None:
            await self._detector.close()
        for servers in self._tool_servers.values():
            await servers.close()
        for condenser in self._condensers.values():
            await condenser.close()
        for models in self._models.values():
            await models.close()
        for sweeping in self._sweeping:
            sweeping.cancel()
        await asyncio.gather(*self._sweeping, return_exceptions=True)
        for writer in self._writers.values():
            writer.close()


async def _sweep_hourly(writer: RecordingWriter, retention: RecordingRetention) -> None:
    """Has recordings removed on a server that takes no calls too, at the start first."""
    while True:
        writer.submit(0, retention.sweep)
        await asyncio.sleep(HOUR_S)


def _recognizer_of(settings: ConversationSettings) -> tuple[ModelName, str]:
    return settings.embedded_model, settings.asr_language or "en"


def _turns_have_meaning(settings: ConversationSettings) -> bool:
    """Tells whether words and sound decide when a turn ends: here, and in a language whose words are known."""
    if settings.end_of_turn != "meaning":
        return False
    if settings.asr_protocol == "embedded":
        return (settings.asr_language or "en") in LANGUAGES
    ends_here = settings.asr_url and settings.local_vad and not PROTOCOLS[settings.asr_protocol].speech_events
    return bool(ends_here) and settings.asr_language in LANGUAGES
