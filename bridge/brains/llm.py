"""A brain behind any OpenAI-compatible chat API: streamed, with tools, and a history of what was heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from bridge.background import BackgroundTasks
from bridge.brains.brain import Brain, BrainError, BreakOff, EndText, Piece, Say, fill, fill_prompt, told_of_caller
from bridge.brains.condenser import Condenser
from bridge.brains.history import History
from bridge.brains.messages import Message, whole
from bridge.brains.model_chain import ModelChain
from bridge.brains.prompt_lines import PromptLines
from bridge.brains.tool_calls import ToolCall, ToolCalls
from bridge.brains.tool_runs import ToolRun, ToolRuns
from bridge.brains.tools import Toolbox

log = structlog.get_logger(__name__)

MAX_TOOL_ROUNDS: Final = 8
"""How many rounds of tools one turn may have; a model that wants more is going in circles."""
MAX_ANSWER_CHARS: Final = 20_000
"""How much is said in one turn, some twenty minutes of speech; what a model adds to it is not read."""
EARLIER_TOOLS_S: Final = 3.0
"""How long a turn waits for the tools that an interrupted one has left at work. Most have answered by then, and the
model can say so; a caller who asks why it takes so long must not wait for longer."""


@dataclass(frozen=True, slots=True)
class LlmOptions:
    """What the model is told, and what is said without it."""

    system_prompt: str = ""
    greeting: str = ""
    no_input_prompt: str = ""
    """What a silent caller is told; several lines, parted by `|`, are said one after the other."""
    unclear_prompt: str = ""
    """The same for a caller of whose words nothing was understood."""


@dataclass(slots=True)
class _Turn:
    """What has happened in one turn. A turn that is cut may still be ending while the next has begun."""

    certain: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it is certain that the caller has said what is being answered."""
    runs: list[ToolRun] = field(default_factory=list)
    lines: set[str] = field(default_factory=set)
    """What the tools had the caller told."""
    chars: int = 0
    over: bool = False

    def messages(self) -> list[Message]:
        return [message for run in self.runs for message in run.messages()]


class LlmBrain(Brain):
    """One call's conversation with the model."""

    digit_gap_ms = 1_500

    def __init__(
        self,
        models: ModelChain,
        options: LlmOptions,
        toolbox: Toolbox,
        tasks: BackgroundTasks,
        variables: Mapping[str, str] | None = None,
        condenser: Condenser | None = None,
    ) -> None:
        self._models = models
        self._options = options
        self._toolbox = toolbox
        self._variables = dict(variables or {})
        self.history = History(fill_prompt(options.system_prompt, self._variables))
        self._condenser = condenser
        self._runs = ToolRuns(toolbox, tasks)
        self._turn = self._prepared = _Turn()
        self._no_input = PromptLines(options.no_input_prompt)
        self._unclear = PromptLines(options.unclear_prompt)

    async def greet(self) -> AsyncGenerator[Piece]:
        if self._options.greeting:
            yield Say(fill(self._options.greeting, self._variables))

    def answer(self, said: str) -> AsyncGenerator[Piece]:
        turn = _Turn()
        turn.certain.set()
        return self._begin(said, turn)

    def prepare(self, said: str) -> AsyncGenerator[Piece]:
        self._prepared = _Turn()
        return self._begin(said, self._prepared)

    def confirm(self) -> None:
        self._prepared.certain.set()

    def take_back(self) -> None:
        self.history.unsay()
        self._prepared.over = True

    def _begin(self, said: str, turn: _Turn) -> AsyncGenerator[Piece]:
        self._no_input.answered()
        self._unclear.answered()
        self.history.said(whole(said))  # noted now, because the turn may be cut before its first step
        return self._answer(turn)

    async def _answer(self, turn: _Turn) -> AsyncGenerator[Piece]:
        self._turn = turn
        spoke = False
        await self._runs.settle(EARLIER_TOOLS_S)
        for _ in range(MAX_TOOL_ROUNDS):
            calls, spoken, is_open = ToolCalls(), "", False
            messages = [*self.history.messages(), *turn.messages()]
            parts = self._models.answer(messages, self._toolbox.specifications(), may_be_empty=spoke)
            async with aclosing(parts):
                async for part in parts:
                    if isinstance(part, str):
                        spoken, is_open = spoken + part, True
                        turn.chars += len(part)
                        yield part[: len(part) + MAX_ANSWER_CHARS - turn.chars]
                    elif isinstance(part, BreakOff):
                        calls, spoken, is_open = ToolCalls(), "", False
                        yield part
                    else:
                        if is_open:
                            is_open = False
                            yield EndText()  # a tool takes its time, and so may what it is to be given
                        calls.add(part)
                    if turn.chars >= MAX_ANSWER_CHARS:
                        log.warning("the language model's answer has no end: it is cut", chars=turn.chars)
                        return
            spoke = spoke or bool(spoken)
            wanted = calls.finish()
            if not wanted:
                return
            if is_open:
                yield EndText()
            await turn.certain.wait()  # a tool may have effects
            if turn.over:
                return
            line = "" if spoken else self._line(turn, wanted)
            runs = self._start(turn, wanted, spoken or line)
            if line:
                yield Say(line)
            await asyncio.wait({run.task for run in runs})
            for run in runs:
                if run.result is not None and run.result.action is not None:
                    yield run.result.action
                    if run.result.ends_turn:
                        return
        raise BrainError(f"the language model wanted more than {MAX_TOOL_ROUNDS} rounds of tools")

    def _line(self, turn: _Turn, calls: list[ToolCall]) -> str:
        """Returns what the caller is told while these tools are at work, in a turn no line twice."""
        lines = [line for call in calls if (line := self._toolbox.line(call.name)) and line not in turn.lines]
        turn.lines.update(lines[:1])
        return "".join(lines[:1])

    def _start(self, turn: _Turn, calls: list[ToolCall], spoken: str) -> list[ToolRun]:
        """Starts all tools of an answer. What was spoken before them stands before the first."""
        runs = [self._runs.start(call, "" if place else spoken) for place, call in enumerate(calls)]
        turn.runs += runs
        return runs

    def pressed(self, digits: str, said: str = "") -> AsyncGenerator[Piece]:
        return self.answer(f"{said} [pressed the keys {' '.join(digits)}]".lstrip())

    def key_taken(self, digit: str) -> None:
        self.history.said(f"[pressed the key {digit}]")

    def caller_changed(self, variables: Mapping[str, str]) -> None:
        self._variables = dict(variables)
        self._toolbox.variables = self._variables
        self.history.said(told_of_caller(variables))

    def take_over(self, earlier: Brain, reason: str = "", said: str = "") -> AsyncGenerator[Piece]:
        if isinstance(earlier, LlmBrain):
            self.history.continues(earlier.history)
        event = f"[the call was handed over to you: {reason or 'greet the caller, and go on from here'}]"
        return self.answer(f"{said} {event}".lstrip())

    def memory(self) -> dict[str, Any]:
        return {"messages": self.history.remembered()}

    def go_on(
        self, memory: Mapping[str, Any], event: str, words: str, *, at_once: bool = False
    ) -> AsyncGenerator[Piece]:
        self.history.recall(memory.get("messages", []))
        pieces = self.answer(f"[{event}]")
        return _after(words, pieces) if at_once and words else pieces

    def prompt_with(self, no_input_prompt: str, unclear_prompt: str) -> None:
        self._no_input, self._unclear = PromptLines(no_input_prompt), PromptLines(unclear_prompt)

    async def silence(self) -> AsyncGenerator[Piece]:
        for piece in self._no_input.next():
            yield piece

    async def misheard(self) -> AsyncGenerator[Piece]:
        for piece in self._unclear.next():
            yield piece

    def heard(self, text: str, *, interrupted: bool) -> None:
        """Keeps every tool that has answered, whatever was heard: what it did has happened and must not be done twice.

        When the turn was cut, tools with effects go on and their results are kept too. Others that are still at work,
        and a transfer or hang-up, are dropped.
        """
        turn, self._turn = self._turn, _Turn()
        turn.over = True
        kept = self._runs.let_go(turn.runs)
        if interrupted:
            kept = [run for run in kept if run.result is None or not run.result.ends_turn]
        self.history.heard(text, [message for run in kept for message in run.lasting_messages()])
        if self._condenser is not None:
            self._condenser.consider(self.history)


async def _after(words: str, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[Piece]:
    """Yields the words, then what follows them."""
    async with aclosing(pieces):
        yield Say(words)
        async for piece in pieces:
            yield piece
