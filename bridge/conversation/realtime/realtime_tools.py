"""The tools that a speech-to-speech service wants called in one call of the telephone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from bridge.background import BackgroundTasks
from bridge.brains.brain import HandOver, HangUp, Transfer
from bridge.brains.tool_calls import ToolCall
from bridge.brains.tool_runs import ToolRun, ToolRuns
from bridge.brains.tools import Toolbox
from bridge.realtime import protocol
from bridge.realtime.protocol import FunctionCall, Message

MAX_ROUNDS: Final = 8
"""How many rounds of tools there may be without a word of the caller; a service that wants more is going in circles."""
CANCELLED: Final = "error: it was cancelled, because the caller spoke"


class TooManyRounds(Exception):
    """The service goes in circles."""


class RealtimeTools:
    """Runs the tools and tells the service what came of them."""

    def __init__(self, toolbox: Toolbox, tasks: BackgroundTasks, send: Callable[[Message], None]) -> None:
        self._tasks = tasks
        self._runs = ToolRuns(toolbox, tasks)
        self._send = send
        self._at_work: list[ToolRun] = []
        self._rounds = 0

    @property
    def at_work(self) -> bool:
        """Tells whether the service waits for a tool."""
        return bool(self._at_work)

    def take(self, toolbox: Toolbox) -> None:
        """Runs the tools of another agent from now on."""
        self._runs = ToolRuns(toolbox, self._tasks)

    def cut(self) -> None:
        """Ends those that need not finish, because the turn is cut."""
        self._runs.let_go(self._at_work)

    def caller_spoke(self) -> None:
        """Notes that the next tools are for something new."""
        self._rounds = 0

    async def use(self, calls: Sequence[FunctionCall]) -> Transfer | HangUp | HandOver | None:
        """Runs the tools of one answer, all at once; returns what is to be done. Raises TooManyRounds."""
        self._rounds += 1
        if self._rounds > MAX_ROUNDS:
            raise TooManyRounds(f"it wanted more than {MAX_ROUNDS} rounds of tools")
        runs = [self._runs.start(ToolCall(call.id, call.name, call.arguments), "") for call in calls]
        self._at_work += runs
        await asyncio.wait({run.task for run in runs})
        self._at_work = [run for run in self._at_work if run not in runs]
        for run in runs:
            self._send(protocol.output(run.call.id, run.result.content if run.result else CANCELLED))
        actions = [run.result.action for run in runs if run.result is not None]
        return next((action for action in actions if isinstance(action, Transfer | HangUp | HandOver)), None)
