"""The services that all conversations share, and how a conversation begins with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import aiohttp
import structlog
from prometheus_client import CollectorRegistry

from bridge.background import BackgroundTasks
from bridge.brains.agent_tools import AgentTools
from bridge.brains.brain import Brain, fill, fill_prompt
from bridge.brains.brief import BriefBrain
from bridge.brains.line_states import LineStates
from bridge.brains.script import ScriptBrain
from bridge.brains.tools import Toolbox, with_distinct_names
from bridge.conversation.agents.agent import Agent
from bridge.conversation.agents.agents import Agents
from bridge.conversation.agents.agents_file import load_agents
from bridge.conversation.agents.yaml_file import WrongFile
from bridge.conversation.briefs import brief_text, decided, settings_of_brief, tell_of_brief
from bridge.conversation.call_agent import CallAgent
from bridge.conversation.call_report import CallReport
from bridge.conversation.call_summary import CallSummaries, SummaryOptions, written
from bridge.conversation.caller_lookup import CallerLookup
from bridge.conversation.conversation import Conversation
from bridge.conversation.going_on import first_words
from bridge.conversation.listeners import make_listeners
from bridge.conversation.memory import Memory
from bridge.conversation.metrics import ConversationMetrics
from bridge.conversation.realtime.realtime_agent import RealtimeAgent
from bridge.conversation.realtime.realtime_conversation import RealtimeConversation
from bridge.conversation.recording import CallRecording
from bridge.conversation.resources import Resources
from bridge.conversation.service_sessions import ANSWER_BYTES, EVENTS_BYTES, SOUND_BYTES, open_session
from bridge.conversation.settings import ConversationSettings
from bridge.conversation.talk import Talk
from bridge.conversation.tool_journal import ToolJournal
from bridge.conversation.unknown_variables import UnknownVariables
from bridge.conversation.webhooks import Webhooks
from bridge.journal.privacy import Privacy
from bridge.line.call import Call
from bridge.realtime.link import RealtimeLink
from bridge.realtime.settings import RealtimeSettings
from engine.speech import UnknownVoice

if TYPE_CHECKING:
    from bridge.brains.model_chain import ModelChain

log = structlog.get_logger(__name__)

JournalReader = Callable[[dict[str, Any]], None]


class _Shared:
    """What all the agents share that have one call, one after the other."""

    def __init__(self, variables: dict[str, str], others: Agents) -> None:
        self.variables = variables
        """The talk's own: they change with the caller."""
        self.others = others
        """To whom the call may be handed over: the agents as they were when it began."""
        self.journal = ToolJournal()
        self.line_states = LineStates(variables)


class Services:
    """The agents, and the services that their calls share. Call `start` once, `begin` for each call, `close` once."""

    def __init__(
        self,
        settings: ConversationSettings,
        registry: CollectorRegistry,
        resolve_voice: Callable[[str], str] | None = None,
        realtime: RealtimeSettings | None = None,
        privacy: Privacy | None = None,
        reader_of: Callable[[UUID], JournalReader | None] = lambda call_id: None,
    ) -> None:
        """`resolve_voice` is the engine's: an agent with an unknown voice is not started with, nor taken up later.

        `reader_of` returns what is told the lines of a call's journal, if anything is.
        """
        self._reader_of = reader_of
        self._privacy = privacy or Privacy()
        self._settings = settings
        self._resolve_voice = resolve_voice
        self._realtime = realtime or RealtimeSettings.model_validate({})
        self._metrics = ConversationMetrics(registry)
        self._resources = Resources()
        self._loading = asyncio.Lock()
        self._tool_tasks = BackgroundTasks()
        self._unknown_variables = UnknownVariables()
        self._summaries: dict[tuple[ModelChain, SummaryOptions], CallSummaries] = {}
        self._http: aiohttp.ClientSession | None = None
        self._asr_http: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Reads the agents, loads models, opens connections. Raises OSError that says what is wrong."""
        settings = self._settings
        self._http, self._asr_http = open_session(ANSWER_BYTES), open_session(EVENTS_BYTES)
        self._realtime_http = open_session(SOUND_BYTES)
        self._caller_lookup = CallerLookup(settings.lookup_url, settings.lookup_timeout_ms, self._http)
        self._webhooks = Webhooks(settings.webhook_url, self._http, settings.webhook_secret.get_secret_value())
        try:
            self.agents = await self._load_agents()
        except WrongFile as error:
            raise OSError(str(error)) from None

    async def rehearse(self) -> None:
        """Does once what the first answer of a model would otherwise wait for, and all calls beside it."""
        if self._resources.asks_models:
            from bridge.brains.rehearsal import rehearse  # needed only where a model is asked

            await rehearse()

    async def reload(self) -> None:
        """Reads the agents anew, for the calls to come. If there is a mistake, the agents stay as they were."""
        try:
            self.agents = await self._load_agents()
        except (WrongFile, OSError) as error:
            log.error("the agents stay as they were", faults=str(error).splitlines())
        else:
            log.info("agents read", agents=list(self.agents.by_name))

    async def _load_agents(self) -> Agents:
        async with self._loading:
            needs_model = not self._realtime.is_brain
            agents = await asyncio.to_thread(load_agents, self._settings, self._resolve_voice, needs_model=needs_model)
            for agent in agents:
                for settings in (agent.settings, *agent.languages.values()):
                    await self._resources.provide(settings)
            return agents

    async def close(self) -> None:
        """Closes everything after the last call; also safe if `start` failed or was never called."""
        if self._http is None or self._asr_http is None:
            return
        for summaries in self._summaries.values():
            await summaries.close()
        await self._webhooks.close()
        await self._tool_tasks.close()
        await self._resources.close()
        await self._http.close()
        await self._asr_http.close()
        await self._realtime_http.close()

    async def look_up(self, call_id: UUID, known: Mapping[str, str]) -> dict[str, str]:
        """Returns what LOOKUP_URL tells of a call that is announced; nothing where there is none. Never raises."""
        return await self._caller_lookup.variables(call_id, known)

    def tell(self, event: dict[str, Any]) -> None:
        """Sends WEBHOOK_URL what may be kept of an event; does nothing where there is none."""
        self._webhooks.send(self._privacy.kept(event))

    def check(self, variables: Mapping[str, str]) -> None:
        """Checks what the variables of a call say about its agent. Raises UnknownAgent and UnknownVoice."""
        if self._settings.agents is not None and (name := variables.get("agent")):
            self.agents.find(name)
        if self._resolve_voice is not None and (voice := variables.get("voice")):
            self._resolve_voice(voice)

    def choose(self, variables: Mapping[str, str]) -> Agent:
        """Returns the agent that takes a call with these variables, of which LOOKUP_URL may have told any."""
        try:
            if self._resolve_voice is not None:
                self._resolve_voice(variables.get("voice", ""))
        except UnknownVoice as error:
            log.warning("the agent keeps its voice", reason=str(error))
            variables = {**variables, "voice": ""}
        return self.agents.choose(variables)

    def begin(
        self, call: Call, variables: Mapping[str, str], agent: Agent | None = None, earlier: Memory | None = None
    ) -> Talk:
        """Begins and returns the talk of a call that was answered, which speaks as its agent does already.

        With a memory of an `earlier` call it goes on where that one ended.
        """
        agent = agent or self.choose(variables)
        recording = self._recording(call, agent.settings)
        self._metrics.agent_calls.labels(agent.name).inc()
        self._unknown_variables.look(agent.name, agent.settings, variables)
        if self._realtime.is_brain:
            return self._begin_realtime(call, variables, agent, recording, earlier)
        shared = _Shared(dict(variables), self.agents)
        call_agent = CallAgent(call, agent, partial(self._brain, shared), shared.others)
        about: dict[str, Any] = {"variables": shared.variables, "recording": recording, "privacy": self._privacy}
        conversation = Conversation(call, call_agent, self._metrics, **about)
        shared.journal.journal = conversation.journal
        self._report(conversation, agent, recording)
        assert self._asr_http is not None, "calls begin between start and close"
        conversation.start(*make_listeners(conversation, self._resources, self._asr_http), earlier=earlier)
        return conversation

    def begin_brief(self, call: Call, variables: Mapping[str, str], agent: Agent, of: Talk) -> Talk:
        """Begins and returns the talk with a colleague who hears what the call `of` is about, and takes it or not."""
        agent = replace(agent, settings=settings_of_brief(agent.settings))
        text = brief_text(of, agent.settings.transfer_brief)
        brain = BriefBrain(text, lambda decision: decided(of, conversation, decision))
        call_agent = CallAgent(call, agent, lambda _: brain)
        about: dict[str, Any] = {"variables": dict(variables), "privacy": self._privacy}
        conversation = Conversation(call, call_agent, self._metrics, **about)
        of.next.decision = "undecided"
        conversation.next.settle("undecided")
        tell_of_brief(of)
        conversation.start()
        return conversation

    def _begin_realtime(
        self,
        call: Call,
        variables: Mapping[str, str],
        agent: Agent,
        recording: CallRecording | None,
        earlier: Memory | None,
    ) -> Talk:
        settings, shared = agent.settings, _Shared(dict(variables), self.agents)
        conversation = RealtimeConversation(
            call,
            settings,
            self._metrics,
            destinations=agent.destinations,
            variables=shared.variables,
            recording=recording,
            privacy=self._privacy,
        )
        options = self._realtime.options(settings.asr_language, settings.realtime_voice)
        link = RealtimeLink(options, self._realtime_http, conversation.heard, call_id=str(call.id))
        shared.journal.journal = conversation.journal

        def toolbox(agent: Agent) -> Toolbox:
            agent_tools = replace(agent.agent_tools(shared.others.by_name), languages=())  # the service speaks them all
            return self._toolbox(shared, agent, agent_tools)

        call_agent = RealtimeAgent(agent, shared.others, shared.variables, toolbox, self._realtime.options)
        conversation.use(link, call_agent, self._tool_tasks, options.timeout_ms)
        self._report(conversation, agent, recording)
        prompt = fill_prompt(settings.system_prompt, variables)
        greeting = fill(settings.greeting, variables)
        if earlier is not None:
            so_far = "\n".join(written(earlier.transcript))
            prompt = f"{prompt}\n\n{so_far}\n\n[{earlier.event(variables)}]"
            greeting = fill(first_words(settings, earlier, variables)[0], variables)
        conversation.start(prompt, greeting)
        return conversation

    def _report(self, talk: Talk, agent: Agent, recording: CallRecording | None) -> None:
        """Has the systems told that the settings name, of the call and at its end."""
        if (reader := self._reader_of(talk.call.id)) is not None:
            talk.journal.readers.append(reader)
        if self._settings.webhook_url:
            talk.journal.observers.append(CallReport(talk, self.tell, recording))
        if (summaries := self._summaries_of(agent.settings)) is not None:
            talk.journal.observers.append(partial(_sum_up, summaries, talk))

    def _toolbox(self, shared: _Shared, agent: Agent, agent_tools: AgentTools) -> Toolbox:
        assert self._http is not None, "calls begin between start and close"
        tools = with_distinct_names([*agent.tools, *self._resources.served_tools(agent.settings)])
        return Toolbox(
            self._http, tools, agent.destinations, shared.variables, agent_tools, shared.journal, shared.line_states
        )

    def _brain(self, shared: _Shared, agent: Agent) -> Brain:
        settings, models = agent.settings, self._resources.models(agent.settings)
        variables = shared.variables
        if models is None:
            return ScriptBrain(agent.script, {**variables, "greeting": fill(settings.greeting, variables)})
        from bridge.brains.llm import LlmBrain, LlmOptions

        options = LlmOptions(
            settings.system_prompt, settings.greeting, settings.no_input_prompt, settings.unclear_prompt
        )
        toolbox = self._toolbox(shared, agent, agent.agent_tools(shared.others.by_name))
        condenser = self._resources.condenser(settings)
        return LlmBrain(models, options, toolbox, self._tool_tasks, variables, condenser)

    def _summaries_of(self, settings: ConversationSettings) -> CallSummaries | None:
        models = self._resources.models(settings)
        if models is None or not settings.summary or not self._privacy.keeps_words:
            return None
        options = SummaryOptions(settings.summary_prompt, settings.summary_mail_to)
        if (models, options) not in self._summaries:
            self._summaries[models, options] = CallSummaries(models, options, self.tell, self._privacy)
        return self._summaries[models, options]

    def _recording(self, call: Call, settings: ConversationSettings) -> CallRecording | None:
        writer = self._resources.writer(settings)
        if settings.record_dir is None or writer is None:
            return None
        return CallRecording(settings.record_dir, str(call.id), writer, keeps_sound=self._privacy.keeps_words)


def _sum_up(summaries: CallSummaries, conversation: Talk, event: dict[str, Any]) -> None:
    if event["type"] == "call.ended":
        summaries.ended(event["call_id"], conversation.variables, conversation.journal.transcript())
