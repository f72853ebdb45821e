"""Carries out one fault in a call in memory, under the virtual clock, and tells what its caller heard."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

from bridge.conversation.conversation import Conversation
from engine.fallback import FallbackEngine
from engine.replicas.address import Address
from engine.replicas.engine import ReplicasEngine
from engine.speech import Engine
from tests.faults.caller_sound import spoken
from tests.faults.ear import Heard
from tests.faults.fault import Fault, Outcome
from tests.faults.mcp_neighbour import McpNeighbour
from tests.faults.neighbours import LOOKUP, RECEIVER, TOOL, HttpNeighbour, ReplicaNeighbour
from tests.faults.repeatable_engine import RepeatableEngine
from tests.faults.seen import Seen
from tests.simulation import model, plan, recogniser
from tests.simulation.network import Quality
from tests.simulation.plan import Answer, CallPlan, Plan
from tests.simulation.run import Run, carry_out
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.voice import RATE_HZ, SimulatedEngine

CALL_S: Final = 24.0
SETTINGS: Final[dict[str, Any]] = {
    "asr_url": f"ws://recogniser.test:{recogniser.ADDRESS[1]}",
    "llm_base_url": f"http://model.test:{model.ADDRESS[1]}/v1",
    "llm_tools": Path(__file__).with_name("tools.yaml"),
    "local_vad": True,
    "webhook_url": f"http://{RECEIVER[0]}/",
}
"""What else the server is set to; all timeouts are as they are in the product."""
SPARE: Final = Answer("Let me look. Never")
"""What else may be heard in a call; the model is not asked so often."""
BETWEEN_CALLS: Final = Counter(
    {
        "LinkServer._tell_room": 2,
        "Replica._run": 2,
        "_sweep_hourly": 1,
        "McpConnection.run": 1,
        "bounded_transport.<locals>.relay": 1,
        "TaskHandle._run_coro": 2,
    }
)
"""What goes on between calls, and in how many tasks; the last are those of a connection of the package `mcp`."""
REST_S: Final = 60.0
"""How long web-hooks may be tried after the call."""
MORE_BYTES: Final = 10 * 2 * RATE_HZ
LONG_CALL_S: Final = 36.0
LATE_S: Final = 0.1
"""An answer that comes so much later than without the fault comes at once."""


class TelephoneReplicas(ReplicasEngine):
    """Replicas that speak at the rate of the simulated engine, whose sound says which word it is."""

    sample_rate_hz = RATE_HZ
    neighbours: Sequence[ReplicaNeighbour] = ()

    async def close(self) -> None:
        await super().close()
        for neighbour in self.neighbours:
            await neighbour.server.close()


class FaultRun(Run):
    """One call in which one thing fails."""

    def __init__(self, fault: Fault) -> None:
        self.sayings, sound = spoken()
        if not fault.caller_says_more:
            self.sayings, sound = self.sayings[:1], sound[:MORE_BYTES]
        call = CallPlan(
            "call0",
            0.0,
            CALL_S if fault.caller_says_more else LONG_CALL_S,
            "hangs up",
            self.sayings,
            (*fault.answers * 16, SPARE),
            20,
            Quality(),
            sound=sound,
        )
        begins = plan.Fault("fault", fault.blocks or fault.neighbour, fault.at_s, 8.0)
        super().__init__(
            VirtualLoop(0), Plan(0, (call,), (begins,), speed=fault.speed, settings=dict(SETTINGS | fault.settings))
        )
        self.fault = fault
        self.recogniser.listens = True
        loop = self.loop
        loop.names = {"recogniser.test": recogniser.ADDRESS[0], "model.test": model.ADDRESS[0]}
        self.tool = HttpNeighbour(loop, "tool", TOOL, b'{"status": "on its way"}')
        self.mcp = McpNeighbour(loop)
        self.receiver = HttpNeighbour(loop, "receiver", RECEIVER)
        self.lookup = HttpNeighbour(loop, "lookup", LOOKUP, b'{"customer": "Ann"}')
        self.slow = Quality(delay_ms=1_000.0)
        self.replicas: list[ReplicaNeighbour] = []
        self.spare = SimulatedEngine(4, 8.0)
        self.spare._next_level = 16_000  # so that each level is one engine's
        self.spare.words = self.engine.words
        self.rest_s = REST_S
        self.stack = ExitStack()
        """What is undone after the run."""
        self.folder = Path(self.stack.enter_context(TemporaryDirectory()))
        fault.prepare(self)

    def spoken_with(self) -> Engine:
        match self.fault.engine:
            case "spare":
                return FallbackEngine(self.engine, self.spare)
            case "replicas":
                self.engine = RepeatableEngine(8, self.fault.speed)
                other = RepeatableEngine(8, self.fault.speed)
                other.words, other.sentences = self.engine.words, self.engine.sentences
                self.replicas = [
                    ReplicaNeighbour(self.loop, number, engine) for number, engine in enumerate((self.engine, other))
                ]
                addresses = [Address(*each.address, tls=False) for each in self.replicas]
                replicas = TelephoneReplicas(addresses, chance=Random(3))
                replicas.neighbours = self.replicas
                return replicas
        return self.engine

    def _tasks(self) -> list[str]:
        return sorted((Counter(super()._tasks()) - BETWEEN_CALLS).elements())

    def begin(self, fault: plan.Fault) -> None:
        self.fault.begin(self)

    @property
    def home(self) -> ReplicaNeighbour:
        """The replica that speaks to the caller."""
        engine = self.app.engine
        assert isinstance(engine, ReplicasEngine)
        (home,) = (replica.address for replica in engine._homes.values())
        return next(each for each in self.replicas if each.address == (home.host, home.port))

    # What came of it

    def seen(self) -> Seen:
        """Returns what came of the fault. The run has to be over."""
        caller = self.callers[0]
        problems = [problem for problem in self.problems if problem not in self.fault.allowed]
        heard = Heard.of(caller.frames, self.engine.words, self.engine.apology)
        return Seen(
            self._heard(heard),
            self._lost(heard),
            self._silence_s(heard),
            self._back(heard),
            self._outcome(),
            tuple(problems),
        )

    @property
    def conversation(self) -> Conversation:
        """The server's side of the call."""
        talk = self._conversations["call0"]
        assert talk is not None, "the call was taken"
        return talk

    def _outcome(self) -> Outcome:
        caller = self.callers[0]
        if caller.told_to_leave:
            return Outcome.HUMAN if str(self.conversation.next) == "" else Outcome.GOES_ON
        return Outcome.GOES_ON if caller.left else Outcome.LINE_LOST

    def _since_s(self, at_s: float) -> float:
        return at_s - self.start_s

    def _heard(self, heard: Heard) -> str:
        """Tells what the caller heard from the fault on until the second words were answered."""
        lines = [line for line in heard.lines if self._since_s(line.end_s) > self.fault.at_s]
        told = [f"{line} after {max(self._since_s(line.start_s) - self.fault.at_s, 0.0):.1f} s" for line in lines]
        return ", ".join(told) or "nothing"

    def _lost(self, heard: Heard) -> str:
        """Tells what of the call is lost."""
        said = {word for messages in self.model.requests["call0"] for message in messages for word in words_of(message)}
        lost = []
        if not set(self.sayings[0].words.split()) <= said:
            lost.append("what the caller said")
        elif not any(line.name == "the answer" and line.whole for line in heard.lines):
            parts = any(line.name == "the answer" for line in heard.lines)
            lost.append("the rest of the answer" if parts else "the answer")
        if also := self.fault.also_lost(self):
            lost.append(also)
        return ", ".join(lost) or "nothing"

    def _silence_s(self, heard: Heard) -> float:
        """Returns the longest silence of those who waited for something."""
        caller, longest_s = self.callers[0], 0.0
        if self._outcome() is Outcome.LINE_LOST:
            return 0.0
        end_s = caller.ended_s if caller.ended_s is not None else self.end_s
        starts_s = [self.start_s + saying.at_s for saying in self.sayings]
        for saying, name, next_s in zip(self.sayings, ANSWERS, [*starts_s[1:], end_s], strict=False):
            asked_s = self.start_s + saying.at_s + saying.lasts_s
            answer = next((line for line in heard.lines if line.name == name and line.whole), None)
            until_s = min(next_s, end_s, answer.end_s if answer is not None else math.inf)
            if until_s > asked_s:
                longest_s = max(longest_s, heard.longest_silence_s(asked_s, until_s))
        return longest_s

    def _back(self, heard: Heard) -> str:
        """Tells when the caller is served again."""
        caller = self.callers[0]
        if self._outcome() is Outcome.LINE_LOST:
            return "Asterisk goes on by itself"
        if self._outcome() is Outcome.HUMAN:
            assert caller.ended_s is not None, "the call is over"
            return f"a human after {self._since_s(caller.ended_s) - self.fault.at_s:.1f} s"
        for name in ANSWERS:
            answer = next((line for line in heard.lines if line.name == name and line.whole), None)
            if answer is not None and self._since_s(answer.end_s) > self.fault.at_s:
                late_s = self._since_s(answer.start_s) - usual_start_s(name)
                if name == ANSWERS[0]:
                    return f"the answer is {late_s:.1f} s late" if late_s > LATE_S else "at once"
                return "with the next answer"
        return "no more"


ANSWERS: Final = ("the answer", "the next answer")


@cache
def usual_start_s(name: str) -> float:
    """Returns when an answer begins in a call in which nothing fails."""
    run = FaultRun(Fault("nobody", "nothing", Outcome.GOES_ON))
    with run.stack:
        carry_out(run)
    line = Heard.of(run.callers[0].frames, run.engine.words, run.engine.apology).said(name)
    assert line is not None, "nothing has failed"
    return line.start_s - run.start_s


def words_of(message: dict[str, Any]) -> list[str]:
    """Returns the words of a message to the model."""
    return str(message.get("content") or "").split()


def try_fault(fault: Fault) -> Seen:
    """Returns what comes of a fault. It has to be within `virtual_time()`."""
    run = FaultRun(fault)
    with run.stack:
        return carry_out(run).seen()
