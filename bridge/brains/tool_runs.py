"""Tools at work: a request with effects is carried to its end and remembered, although its turn or its call is over."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from bridge.background import BackgroundTasks
from bridge.brains.messages import AT_WORK, Message, is_json
from bridge.brains.tool_calls import ToolCall
from bridge.brains.tool_result import ToolResult
from bridge.brains.tools import Toolbox

log = structlog.get_logger(__name__)

LOGGED_CHARS: Final = 200
SHOWN_CHARS: Final = 1_000
"""How much of the arguments of an earlier call the model is shown again."""


@dataclass(slots=True, eq=False)
class ToolRun:
    """One call of a tool, from its start on."""

    call: ToolCall
    spoken: str
    """What the caller was told before the call, in the same answer."""
    finishes: bool
    """True if it goes on when its turn is cut."""
    task: asyncio.Task[ToolResult]

    @property
    def result(self) -> ToolResult | None:
        """What came of it; None while it is at work, and for good if it was cancelled."""
        return self.task.result() if self.task.done() and not self.task.cancelled() else None

    def messages(self) -> list[Message]:
        """Returns the messages that tell the model of it, for a request of the same turn."""
        function = {"name": self.call.name, "arguments": self._sendable_arguments()}
        asked = {"id": self.call.id, "type": "function", "function": function, **self.call.extra}
        return [
            {"role": "assistant", "content": self.spoken or None, "tool_calls": [asked]},
            {"role": "tool", "tool_call_id": self.call.id, "content": self._content},
        ]

    def lasting_messages(self) -> list[Message]:
        """Returns the messages for the history, without what was said. A result that comes later is put into them."""
        asked, answered = self.messages()
        if not self.task.done():
            self.task.add_done_callback(lambda _: answered.update(content=self._content))
        return [{**asked, "content": None}, answered]

    @property
    def _content(self) -> str:
        return self.result.content if self.result is not None else AT_WORK

    def _sendable_arguments(self) -> str:
        """Returns the arguments, or `{}` if they are no JSON: servers parse them and would refuse the next request."""
        return self.call.arguments if is_json(self.call.arguments) else "{}"


class ToolRuns:
    """The tools that one call of the telephone uses."""

    def __init__(self, toolbox: Toolbox, tasks: BackgroundTasks) -> None:
        self._toolbox = toolbox
        self._tasks = tasks
        self._left: list[ToolRun] = []
        """Those that their turn has left at work."""

    def start(self, call: ToolCall, spoken: str) -> ToolRun:
        """Starts a tool, unless an earlier turn has left it at work.

        Then the model did not know what came of the first call when it made this one, in whatever words. It is told
        now, and may call again: nothing is booked twice because a caller was impatient.
        """
        self._left = [run for run in self._left if not run.task.done()]
        for earlier in self._left:
            if earlier.call.name == call.name:
                return ToolRun(call, spoken, False, self._tasks.start(_result_of(earlier)))
        finishes = self._toolbox.finishes(call.name)
        return ToolRun(call, spoken, finishes, self._tasks.start(self._run(call)))

    def let_go(self, runs: list[ToolRun]) -> list[ToolRun]:
        """Ends those runs of a cut turn that need not finish; returns those that have ended or go on, in order."""
        kept = []
        for run in runs:
            if not run.task.done() and not run.finishes:
                run.task.cancel()
            elif not run.task.done():
                self._left.append(run)
                kept.append(run)
            elif run.result is not None:
                kept.append(run)
        return kept

    async def settle(self, timeout_s: float) -> None:
        """Waits up to `timeout_s` for what earlier turns have left at work."""
        tasks = {run.task for run in self._left if not run.task.done()}
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    async def _run(self, call: ToolCall) -> ToolResult:
        clock = asyncio.get_running_loop().time
        since_s = clock()
        result = await self._toolbox.call(call.name, call.arguments)
        name = self._toolbox.known(call.name)
        if self._toolbox.observe is not None:
            self._toolbox.observe(name, call.arguments, result, round((clock() - since_s) * 1000))
        log.info("tool called", tool=name, chars=len(result.content))
        log.debug("tool answered", tool=call.name[:LOGGED_CHARS], result=result.content[:LOGGED_CHARS])
        return result


async def _result_of(earlier: ToolRun) -> ToolResult:
    await asyncio.wait({earlier.task})
    result = earlier.result.content if earlier.result else "nothing, because the server stopped"
    arguments = earlier.call.arguments[:SHOWN_CHARS]
    return ToolResult(
        f"This call was not made, because an earlier one was still at work, with {arguments}. It answered: {result}"
    )
