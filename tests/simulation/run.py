"""Carries out one plan with the whole application, and says what was wrong with it.

Every sleep is of the virtual loop, and takes no time.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog

import bridge.brains.llm
import bridge.conversation.models  # noqa: F401  (both are imported before the clock is a virtual one)
from bridge.app import App
from bridge.config import Settings
from bridge.conversation.conversation import Conversation
from engine import loop_share
from engine.speech import Engine
from tests.simulation import invariants, model, recogniser
from tests.simulation.caller import Caller
from tests.simulation.faults import ASIDE, begin_fault
from tests.simulation.model import SimulatedModel
from tests.simulation.plan import Fault, Plan
from tests.simulation.recogniser import SimulatedRecogniser
from tests.simulation.virtual_loop import NothingLeft, VirtualLoop
from tests.simulation.voice import SimulatedEngine

GREETING: Final = "Good morning."
APOLOGY: Final = "Sorry about that."
FILLER: Final = "One moment."
NO_INPUT: Final = "Are you there?|Please speak."
UNCLEAR: Final = "Say again?|Pardon?"
WARNING: Final = "We have to end."
COUNTED: Final = {"talkspurt_early_answers_total": "early answers", "talkspurt_interruptions_total": "pauses"}
"""The metrics that tell whether a run has tried something."""
KEPT: Final = ("model", "tool", "mcp", "receiver", "lookup", "replica0", "replica1")
"""The neighbours whose connections are kept for the next call."""
FAREWELL_S: Final = 40.0
"""How long a run may take after its last call should have ended: a peer that has vanished is noticed by then."""
REST_S: Final = 12.0
"""How long is waited for what may still be closing, before nothing may be left."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went."""

    plan: Plan
    problems: tuple[str, ...]
    digest: str
    """Of every byte on every line and of all that was told: two runs of one seed have the same."""
    counts: Counter[str]
    """How often what happened."""

    @property
    def frames(self) -> int:
        return self.counts["frames"]


AnyRun = TypeVar("AnyRun", bound="Run")


class SimulatedApp(App):
    """The application without a port: connections are given to it."""

    async def _start(self) -> None:
        await self.engine.start()
        await self._first_words.say()
        await self.services.start()
        self.audiosocket.start_clock()


def simulate(plan: Plan) -> Outcome:
    """Carries out a plan. It has to be within `virtual_time()`."""
    return carry_out(Run(VirtualLoop(plan.seed), plan)).outcome()


def carry_out(run: AnyRun) -> AnyRun:
    """Carries out a run, and returns it. It has to be within `virtual_time()`."""
    loop, plan = run.loop, run.plan
    state = random.getstate()
    random.seed(plan.seed)
    with _log_of(run.log):
        try:
            loop.run_until_complete(run.carry_out())
        except NothingLeft as error:
            run.problems.append(f"left over: {error}")
        except Exception as error:
            run.problems.append(f"broken: {error!r}")
        finally:
            random.setstate(state)
            _drop_tasks(loop)
    return run


class Run:
    """One plan at work."""

    def __init__(self, loop: VirtualLoop, plan: Plan) -> None:
        self.loop = loop
        self.plan = plan
        self.problems: list[str] = []
        self.log: list[str] = []
        self.start_s = self.end_s = 0.0
        self.rest_s = REST_S
        self.stopping = asyncio.Event()
        self.app: SimulatedApp
        self.engine = SimulatedEngine(plan.places, plan.speed)
        """What makes the sound."""
        self.callers = [
            Caller(loop, call, plan.seed, loop.network.host(call.name, (f"10.0.1.{place}", 0)))
            for place, call in enumerate(plan.calls)
        ]
        self.recogniser = SimulatedRecogniser(loop, plan.seed, self.callers)
        self.model = SimulatedModel(loop, self.callers)
        self._conversations: dict[str, Conversation | None] = {}

    async def carry_out(self) -> None:
        """Runs the calls to their end, and looks at what is left."""
        self.app = app = SimulatedApp(_settings(self.plan), self.spoken_with())
        await app.start()
        self.engine.apology = frozenset(self.engine.words)
        texts = " ".join((GREETING, APOLOGY, FILLER, NO_INPUT, UNCLEAR, ASIDE, WARNING)).replace("|", " ")
        self.engine.shared = frozenset(map(invariants.bare, texts.split()))
        self.start_s = self.loop.time()
        for caller in self.callers:
            app.calls.registrations.add(caller.id, {"case": caller.plan.name})
            self.loop.call_at(self.start_s + caller.plan.at_s, self._connect, caller)
        for fault in self.plan.faults:
            self.loop.call_at(self.start_s + fault.at_s, self.begin, fault)
        await self._calls_over()
        self.end_s = self.loop.time()
        for caller in self.callers:
            talk = app.calls.find(caller.id)
            self._conversations[caller.plan.name] = talk if isinstance(talk, Conversation) else None
        if not self.stopping.is_set():
            await asyncio.sleep(self.rest_s)
            self._look_at_what_is_left()
            await app.stop()
        await asyncio.sleep(REST_S)
        self._look_at_the_end()

    def spoken_with(self) -> Engine:
        """Returns the engine that the application has."""
        return self.engine

    def begin(self, fault: Fault) -> None:
        """Has something fail."""
        begin_fault(self, fault)

    def _connect(self, caller: Caller) -> None:
        if not self.stopping.is_set():
            caller.connect(self.app.audiosocket)

    async def _calls_over(self) -> None:
        last_s = max((call.at_s + call.lasts_s for call in self.plan.calls), default=0.0)
        until_s = self.start_s + last_s + FAREWELL_S
        while self.loop.time() < until_s:
            await asyncio.sleep(0.25)
            if self.stopping.is_set():
                await self.app.stop()
                return
            if self.loop.time() > self.start_s + last_s and not self.app.audiosocket.connections:
                return
        self.problems.append("left over: a call does not end")

    def _look_at_what_is_left(self) -> None:
        """No call is in progress any more, so that nothing of one may be left."""
        app, problems = self.app, self.problems
        problems += invariants.counted("calls", [talk.call.id for talk in app.calls.active()])
        problems += invariants.counted("places in the engine", ["taken"] * self.engine.streams)
        problems += invariants.counted("ticks on the clock", ["tick"] if app.audiosocket.clock.next_s() else [])
        problems += invariants.counted("tasks", self._tasks())
        open_ends = [name for name in self.loop.network.open_ends() if name not in KEPT]
        problems += invariants.counted("connections", open_ends)

    def _look_at_the_end(self) -> None:
        problems, network = self.problems, self.loop.network
        problems += invariants.counted("tasks after the end", self._tasks())
        problems += invariants.counted("connections after the end", network.open_ends())
        problems += invariants.counted("timers after the end", self.loop.timers())
        problems += [f"asyncio: {problem}" for problem in self.loop.errors()]
        problems += [f"log: {line}" for line in self.log]
        for caller in self.callers:
            if caller.has_connected:
                problems += [f"{caller.plan.name}: {problem}" for problem in self._problems_of(caller)]

    def _problems_of(self, caller: Caller) -> Iterator[str]:
        yield from invariants.line_problems(caller, self.plan, self.start_s, self.end_s)
        yield from invariants.sound_problems(caller, self.engine)
        yield from invariants.wire_problems(caller)
        conversation = self._conversations[caller.plan.name]
        yield from invariants.history_problems(caller, self.engine, conversation)
        yield from invariants.answer_problems(caller, self.plan, self.model.requests[caller.plan.name])
        yield from invariants.cut_problems(caller, self.engine, conversation)
        may_reset = caller.vanished_s is not None or any(
            fault.kind in ("caller stalled", "caller deaf", "all parted", "we stop") for fault in self.plan.faults
        )
        if caller.plan.name in self.loop.network.resets_by_us and not may_reset:
            yield "reset: our side has reset the connection"

    def _tasks(self) -> list[str]:
        """Returns what is at work beside the run itself and the neighbours."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        names = (str(getattr(task.get_coro(), "__qualname__", task)) for task in tasks)
        return [name for name in names if not name.startswith(("_Session.", "Session."))]

    def outcome(self) -> Outcome:
        """Returns how the run went."""
        digest = hashlib.sha256()
        for caller in self.callers:
            watch = caller.watch
            digest.update(repr((watch.at_s, watch.hung_up_s, watch.accepted_s)).encode())
            digest.update(b"".join(watch.frames))
            digest.update(caller.heard)
        digest.update(json.dumps(self.model.requests).encode())
        for conversation in self._conversations.values():
            if conversation is not None:
                digest.update(json.dumps(conversation.journal.transcript()).encode())
        digest.update("\n".join(self.problems).encode())
        return Outcome(self.plan, tuple(self.problems), digest.hexdigest(), self._counts())

    def _counts(self) -> Counter[str]:
        counts = Counter(
            {
                "calls": sum(caller.has_connected for caller in self.callers),
                "frames": sum(len(caller.watch.frames) for caller in self.callers),
                "virtual seconds": round(self.loop.time() - self.start_s),
                "questions to the model": sum(map(len, self.model.requests.values())),
            }
        )
        for conversation in filter(None, self._conversations.values()):
            turns = [entry for entry in conversation.journal.entries if entry.who == "agent"]
            counts["agent's turns"] += len(turns)
            counts["interrupted"] += sum(turn.interrupted for turn in turns)
            counts["calls that failed over"] += bool(conversation.failed)
        return counts + self._counted()

    def _counted(self) -> Counter[str]:
        """Returns what the product itself has counted."""
        counted: Counter[str] = Counter()
        for family in self.app.metrics.registry.restricted_registry(COUNTED).collect():
            for sample in family.samples:
                counted[f"{COUNTED[sample.name]} {next(iter(sample.labels.values()))}"] += int(sample.value)
        return counted


def _settings(plan: Plan) -> Settings:
    settings: dict[str, Any] = {
        "greeting": GREETING,
        "apology": APOLOGY,
        "filler": FILLER,
        "no_input_prompt": NO_INPUT,
        "unclear_prompt": UNCLEAR,
        "max_call_warning": WARNING,
        "voice_language": "en",
        "asr_url": f"ws://{recogniser.ADDRESS[0]}:{recogniser.ADDRESS[1]}",
        "asr_sample_rate": 8_000,
        "asr_protocol": "deepgram" if plan.guesses_ends else "openai-realtime",
        "asr_model": "flux-general-en" if plan.guesses_ends else "",
        "local_vad": False,
        "end_of_turn": "silence",
        "echo_canceller": False,
        "echo_text": False,
        "llm_base_url": f"http://{model.ADDRESS[0]}:{model.ADDRESS[1]}/v1",
        "llm_model": "m",
        "system_prompt": "You take {case}.",
        "drain_timeout": 1,
    }
    return Settings.of(**settings | plan.settings)


@contextmanager
def _log_of(lines: list[str]) -> Iterator[None]:
    """Keeps what is logged of exceptions that nobody expected, and prints nothing."""

    def keep(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
        if event.get("exc_info"):
            lines.append(f"{event['event']}: {event['exc_info']!r}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[keep], wrapper_class=structlog.make_filtering_bound_logger("warning"))
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop_tasks(loop: VirtualLoop) -> None:
    """Ends what a broken run has left, so that the next one begins with nothing."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        with suppress(NothingLeft):
            loop.run_until_complete(asyncio.wait(tasks, timeout=10.0))
    loop.close()
    loop_share._shares.pop(loop, None)  # it would keep the loop, and all that the run has made
