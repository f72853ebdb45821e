"""Looks after the call files: tells of calls that nobody answered, and takes back those that Asterisk did not dial."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from bridge.outbound.call_file import file_name
from bridge.outbound.outbound_calls import OutboundCalls, Unanswered, Why

log = structlog.get_logger(__name__)

LOOK_S: Final = 5.0
"""The time between two looks into Asterisk's folder."""


class SpoolWatch:
    """Sends `call.unanswered` for each call that will not connect any more."""

    def __init__(self, calls: OutboundCalls, spool: Path, send: Callable[[dict[str, Any]], None]) -> None:
        self._calls = calls
        self._spool = spool
        self._send = send

    async def run(self) -> None:
        """Looks every `LOOK_S`, while calls are on their way, until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._calls.any_awaited:
                await self.look()

    async def look(self) -> None:
        """Looks once."""
        try:
            in_spool = await asyncio.to_thread(os.listdir, self._spool)
        except OSError as error:
            log.error("Asterisk's folder cannot be read", spool=str(self._spool), problem=error.strerror)
            return
        for call in self._calls.unanswered(in_spool):
            if call.why is Why.NOT_DIALLED:  # dialled an hour later, it would reach an agent that knows nothing of it
                await self._take_back(self._spool / file_name(call.call_id))
            self._tell(call)

    async def _take_back(self, file: Path) -> None:
        try:
            await asyncio.to_thread(file.unlink, missing_ok=True)
        except OSError as error:
            log.error("a call file cannot be removed: it may still be dialled", file=str(file), problem=error.strerror)

    def _tell(self, call: Unanswered) -> None:
        log.info("call not answered", call=str(call.call_id), reason=call.why.value)
        about = {"to": call.variables.get("to"), "variables": dict(call.variables)}
        self._send({"type": "call.unanswered", "call_id": str(call.call_id), "reason": call.why.value, **about})
