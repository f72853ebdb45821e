"""Starts the servers that scenarios need, one for all those that want the same settings, and holds the calls."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.converse.caller_model import CallerModel
from bridge.converse.expectations import Verdict, judge
from bridge.converse.scenario import Scenario
from bridge.converse.scenario_call import ScenarioCall, Stage
from bridge.converse.scripted_model import SYSTEM_PROMPT, ScriptedModel
from bridge.converse.server_process import running_server
from bridge.converse.timeline import Timeline
from bridge.converse.told_recogniser import ToldRecogniser
from bridge.converse.voices import RATE_HZ, Voices
from bridge.dial.caller import Caller, CannotCall
from bridge.dial.client import CallsClient, Rejected
from bridge.dial.wav import heard
from bridge.hearing.asr.recognition import RATE_HZ as RECOGNISED_HZ
from bridge.hearing.asr.recognizer_pool import RecognizerPool
from engine.audio import resample
from engine.speech import SpeechError

TOOLS: Final = "tools.yaml"


@dataclass(frozen=True, slots=True)
class Address:
    """A server that is running already."""

    host: str
    port: int
    http_url: str = ""
    api_key: str = ""


@dataclass(frozen=True, slots=True)
class AgentModel:
    """A language model for the servers that are started, in place of the scripted one."""

    base_url: str
    model: str
    api_key: str = ""


@dataclass(slots=True)
class Outcome:
    """A scenario that was tried."""

    scenario: Scenario
    timeline: Timeline
    caller: Caller
    verdicts: list[Verdict]

    @property
    def passed(self) -> bool:
        """Tells whether no expectation was missed."""
        return all(verdict.passed is not False for verdict in self.verdicts)

    @property
    def counts(self) -> bool:
        """Tells whether this outcome is a failure that nobody expected."""
        return not self.passed and not self.scenario.expected_failure


def grouped(scenarios: Sequence[Scenario]) -> list[list[Scenario]]:
    """Returns the scenarios by what their servers have in common, the order kept."""
    groups: dict[object, list[Scenario]] = {}
    for scenario in scenarios:
        key = (scenario.recogniser, scenario.script, tuple(sorted(scenario.server.items())))
        groups.setdefault(key, []).append(scenario)
    return list(groups.values())


async def try_all(
    scenarios: Sequence[Scenario],
    voices: Voices,
    *,
    at: Address | None = None,
    calls: int = 1,
    agent_model: AgentModel | None = None,
    caller_model: CallerModel | None = None,
    on_call_over: Callable[[Scenario], None] = lambda scenario: None,
) -> list[Outcome]:
    """Tries every scenario, `calls` of them at once on one server, and one server after the other.

    Raises CannotServe; SpeechError if there is no voice for a caller, or no recogniser for what is to be recognised.
    """
    held: dict[str, tuple[Timeline, Caller]] = {}
    free = asyncio.Semaphore(calls)

    async def try_one(scenario: Scenario, call: ScenarioCall) -> None:
        async with free:
            held[scenario.name] = await _hold(call), call.caller
        on_call_over(scenario)

    for group in [list(scenarios)] if at is not None else grouped(scenarios):
        async with staged(group, voices, at, agent_model) as stage:
            stage.caller_model = caller_model
            ready = [(scenario, ScenarioCall(scenario, stage)) for scenario in group]
            for _, call in ready:
                await call.prepare()  # before the first call, which it would make late
            async with asyncio.TaskGroup() as trying:
                for scenario, call in ready:
                    trying.create_task(try_one(scenario, call))
    outcomes = []
    for scenario in scenarios:
        timeline, caller = held[scenario.name]
        if scenario.expect.agent_is_heard_to_say and not timeline.problem:
            timeline.recognised = await recognised(caller)  # after the calls, for it would make their callers late
        outcomes.append(Outcome(scenario, timeline, caller, judge(scenario, timeline)))
    return outcomes


async def _hold(call: ScenarioCall) -> Timeline:
    try:
        return await call.hold()
    except (Rejected, CannotCall) as error:
        received = call.caller.received
        return Timeline(received.arrivals_s - call.caller.first_sent_s, received.voiced, problem=str(error))


async def recognised(caller: Caller) -> str:
    """Returns the words in what came back to a caller, as the embedded recogniser has them. Raises SpeechError."""
    pool = RecognizerPool("whisper")
    try:
        await pool.start()
        sound = resample(heard(caller.received, caller.first_sent_s), RATE_HZ, RECOGNISED_HZ)
        return await pool.transcribe(sound.astype("<i2").tobytes())
    except OSError as error:
        raise SpeechError(f"the agent's sound cannot be recognised: {error}") from None
    finally:
        await pool.close()


@asynccontextmanager
async def staged(
    group: Sequence[Scenario], voices: Voices, at: Address | None = None, agent_model: AgentModel | None = None
) -> AsyncIterator[Stage]:
    """Yields what the calls of a group need: the server at an address, or one that is started for them."""
    async with AsyncExitStack() as stack:
        if at is not None:
            client = await stack.enter_async_context(CallsClient(at.http_url, at.api_key)) if at.http_url else None
            yield Stage(at.host, at.port, voices, client)
            return
        settings = {"ENGINE": "hibari", "GREETING": "{greeting}"}
        told = model = None
        if group[0].recogniser == "embedded":
            settings["ASR_PROTOCOL"] = "embedded"
        else:
            told = await stack.enter_async_context(ToldRecogniser())
            settings |= {"ASR_PROTOCOL": "qwen3-asr", "ASR_URL": told.url}
        if group[0].script is not None:
            settings["SCRIPT"] = str(group[0].script)
        else:
            model = await stack.enter_async_context(ScriptedModel())
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            model.write_tools(group, folder / TOOLS)
            settings |= {"LLM_BASE_URL": model.url, "LLM_MODEL": "scripted", "SYSTEM_PROMPT": SYSTEM_PROMPT}
            settings["LLM_TOOLS"] = str(folder / TOOLS)
            if agent_model is not None:
                settings |= {"LLM_BASE_URL": agent_model.base_url, "LLM_MODEL": agent_model.model}
                settings["LLM_API_KEY"] = agent_model.api_key
        server = await stack.enter_async_context(running_server(**settings | group[0].server))
        client = await stack.enter_async_context(CallsClient(server.http_url))
        yield Stage(server.host, server.port, voices, client, told, model)
