"""The services that all conversations share, and how a conversation begins with them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import aiohttp
import structlog
from prometheus_client import CollectorRegistry

from bridge.brains.brain import Brain, fill
from bridge.brains.destinations import Destinations
from bridge.brains.script import DEFAULT_SCRIPT, ScriptBrain, load_script
from bridge.brains.tool_runs import ToolTasks
from bridge.brains.tools import Toolbox, load_tool_servers, load_tools, with_distinct_names
from bridge.conversation.answering_machine import AMD
from bridge.conversation.call_report import CallReport
from bridge.conversation.call_summary import CallSummaries, SummaryOptions
from bridge.conversation.caller_lookup import CallerLookup
from bridge.conversation.conversation import Conversation
from bridge.conversation.metrics import ConversationMetrics
from bridge.conversation.recording import CallRecording
from bridge.conversation.recording_retention import HOUR_S, RecordingRetention
from bridge.conversation.recording_writer import RecordingWriter, make_folder
from bridge.conversation.service_sessions import ANSWER_BYTES, EVENTS_BYTES, open_session
from bridge.conversation.settings import ConversationSettings
from bridge.conversation.webhooks import Webhooks
from bridge.hearing.asr.client import AsrClient
from bridge.hearing.asr.embedded import EmbeddedAsr
from bridge.hearing.asr.protocol import AsrOptions
from bridge.hearing.asr.protocols import PROTOCOLS
from bridge.hearing.asr.recognizer_pool import RecognizerPool
from bridge.hearing.events import Heard
from bridge.hearing.judged_ear import JudgedEar
from bridge.hearing.listening import LocalEar, Recognizer
from bridge.hearing.smart_turn import SmartTurn
from bridge.hearing.speech_gate import GateRules
from bridge.hearing.vad import Detector
from bridge.line.call import Call
from bridge.turns.end_of_turn import LANGUAGES

if TYPE_CHECKING:
    from bridge.brains.mcp.servers import McpServers
    from bridge.brains.model_chain import ModelChain

log = structlog.get_logger(__name__)


class Services:
    """The recogniser, language model, tools and web-hooks. Call `start` once, `begin` for each call, `close` once."""

    def __init__(self, settings: ConversationSettings, registry: CollectorRegistry, *, greeting: str = "") -> None:
        self._settings = settings
        self._greeting = greeting
        self._metrics = ConversationMetrics(registry)
        self._destinations = Destinations(settings.transfer_allow)
        self._script = load_script(settings.script or DEFAULT_SCRIPT)
        self._tools = load_tools(settings.llm_tools) if settings.llm_tools is not None else []
        self._tool_servers: McpServers | None = None
        self._recognizer: RecognizerPool | None = None
        self._detector: Detector | None = None
        self._smart_turn: SmartTurn | None = None
        self._writer: RecordingWriter | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._models: ModelChain | None = None
        self._summaries: CallSummaries | None = None
        self._tool_tasks = ToolTasks()
        self._http: aiohttp.ClientSession | None = None
        self._asr_http: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Loads the embedded models and opens the shared connections. Raises OSError that says what is missing."""
        settings = self._settings
        self._http, self._asr_http = open_session(ANSWER_BYTES), open_session(EVENTS_BYTES)
        self._caller_lookup = CallerLookup(settings.lookup_url, settings.lookup_timeout_ms, self._http)
        self._webhooks = Webhooks(settings.webhook_url, self._http, settings.webhook_secret.get_secret_value())
        if settings.llm_base_url:
            import bridge.brains.llm  # noqa: F401  (imported now, so that the first call does not wait)
            from bridge.conversation.models import make_models  # takes a second and is needed only with a model

            self._models = make_models(settings)
            if settings.summary:
                options = SummaryOptions(settings.summary_prompt, settings.summary_mail_to)
                self._summaries = CallSummaries(self._models, options, self._webhooks.send)
        if settings.llm_tools is not None and (files := load_tool_servers(settings.llm_tools)):
            from bridge.brains.mcp.servers import McpServers  # takes a second and is needed only where one is named

            self._tool_servers = McpServers(files)
            await self._tool_servers.start()
        if settings.asr_protocol == "embedded":
            self._recognizer = RecognizerPool(settings.embedded_model, settings.asr_language)
            await self._recognizer.start()
        elif settings.asr_url and settings.local_vad:
            self._detector = Detector()
            self._detector.load()
        if self._turns_have_meaning():
            try:
                self._smart_turn = SmartTurn()
            except OSError as error:
                log.warning("turns end by silence alone", reason=str(error))
        if settings.record_dir is not None:
            self._start_recording(settings.record_dir)

    def _turns_have_meaning(self) -> bool:
        """Tells whether words and sound decide when a turn ends: here, and in a language whose words are known."""
        settings = self._settings
        if settings.end_of_turn != "meaning":
            return False
        if settings.asr_protocol == "embedded":
            return (settings.asr_language or "en") in LANGUAGES
        ends_here = self._detector is not None and not PROTOCOLS[settings.asr_protocol].speech_events
        return ends_here and settings.asr_language in LANGUAGES

    async def close(self) -> None:
        """Closes everything after the last call; also safe if `start` failed or was never called."""
        if self._http is None or self._asr_http is None:
            return
        if self._summaries is not None:
            await self._summaries.close()
        await self._webhooks.close()
        if self._recognizer is not None:
            await self._recognizer.close()
        if self._smart_turn is not None:
            await self._smart_turn.close()
        if self._detector is not None:
            await self._detector.close()
        await self._tool_tasks.close()
        if self._tool_servers is not None:
            await self._tool_servers.close()
        if self._models is not None:
            await self._models.close()
        await self._http.close()
        await self._asr_http.close()
        if self._sweeping is not None:
            self._sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeping
        if self._writer is not None:
            self._writer.close()

    async def look_up(self, call_id: UUID, known: Mapping[str, str]) -> dict[str, str]:
        """Returns what LOOKUP_URL tells of a call that is announced; nothing where there is none. Never raises."""
        return await self._caller_lookup.variables(call_id, known)

    def begin(self, call: Call, variables: Mapping[str, str]) -> Conversation:
        """Begins and returns the conversation of a call that was answered."""
        call.language = call.style.language or self._settings.asr_language.lower()[:2] or call.language
        recording = self._recording(call)
        conversation = Conversation(
            call,
            self._brain(variables),
            self._settings,
            self._metrics,
            destinations=self._destinations,
            variables=variables,
            recording=recording,
        )
        if self._settings.webhook_url:
            conversation.journal.observers.append(CallReport(conversation, self._webhooks.send, recording))
        if self._summaries is not None:
            conversation.journal.observers.append(partial(_sum_up, self._summaries, conversation))
        conversation.start(*self._listeners(conversation))
        return conversation

    def _start_recording(self, folder: Path) -> None:
        try:
            make_folder(folder)
        except OSError as error:
            raise OSError(f"RECORD_DIR={folder}: {error.strerror}") from error
        settings = self._settings
        retention = RecordingRetention(
            folder, max_days=settings.record_max_days, max_bytes=settings.record_max_mb * 10**6
        )
        self._writer = RecordingWriter(retention)
        self._sweeping = asyncio.create_task(_sweep_hourly(self._writer, retention))

    def _brain(self, variables: Mapping[str, str]) -> Brain:
        settings = self._settings
        if self._models is None:
            return ScriptBrain(self._script, {**variables, "greeting": fill(self._greeting, variables)})
        from bridge.brains.llm import LlmBrain, LlmOptions

        assert self._http is not None, "calls begin between start and close"
        options = LlmOptions(settings.system_prompt, self._greeting, settings.no_input_prompt, settings.unclear_prompt)
        served = self._tool_servers.tools() if self._tool_servers is not None else []
        tools = with_distinct_names([*self._tools, *served])
        toolbox = Toolbox(self._http, tools, self._destinations, variables)
        return LlmBrain(self._models, options, toolbox, self._tool_tasks, variables)

    def _recording(self, call: Call) -> CallRecording | None:
        if self._settings.record_dir is None or self._writer is None:
            return None
        return CallRecording(self._settings.record_dir, str(call.id), self._writer)

    def _listeners(self, conversation: Conversation) -> tuple[Recognizer | None, LocalEar | None]:
        settings, call = self._settings, conversation.call

        def agent_speaks() -> bool:
            return call.playout.speaking

        rules = GateRules(
            pause_ms=settings.early_ms,
            side_talk_db=settings.side_talk_db,
            tells_hold=settings.hold_detection,
            tells_beeps=AMD in conversation.variables,
        )
        if self._recognizer is not None:
            embedded = EmbeddedAsr(
                self._recognizer,
                conversation.listening.heard,
                agent_speaks=agent_speaks,
                rules=rules,
                end_of_turn=settings.end_rules(conversation.variables),
                smart_turn=self._smart_turn,
                call_id=str(call.id),
            )
            return embedded, None
        if not settings.asr_url:
            return None, None
        options = AsrOptions(
            language=settings.asr_language or None,
            model=settings.asr_model,
            api_key=settings.asr_api_key.get_secret_value(),
            sample_rate_hz=settings.asr_sample_rate,
        )
        assert self._asr_http is not None, "calls begin between start and close"
        protocol, listening = PROTOCOLS[settings.asr_protocol], conversation.listening
        ear: LocalEar | None = None
        hear: Callable[[Heard], object] = listening.heard
        if self._detector is not None and protocol.speech_events:
            ear = self._detector.ear(listening.heard_locally, agent_speaks=agent_speaks, rules=rules)
        elif self._detector is not None:
            ends = settings.end_rules(conversation.variables)
            ear = judged = JudgedEar(
                self._detector,
                listening.heard_locally,
                agent_speaks,
                rules,
                ends,
                self._smart_turn,
                flush=lambda: client.flush(),
            )

            def hear(event: Heard) -> None:
                if judged.heard(event):
                    listening.heard(event)

        client = AsrClient(protocol, settings.asr_url, options, self._asr_http, hear, call_id=str(call.id))
        return client, ear


async def _sweep_hourly(writer: RecordingWriter, retention: RecordingRetention) -> None:
    """Has recordings removed on a server that takes no calls too, at the start first."""
    while True:
        writer.submit(0, retention.sweep)
        await asyncio.sleep(HOUR_S)


def _sum_up(summaries: CallSummaries, conversation: Conversation, event: dict[str, Any]) -> None:
    if event["type"] == "call.ended":
        summaries.ended(event["call_id"], conversation.variables, conversation.journal.transcript())
