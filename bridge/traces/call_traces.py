"""The traces of all calls: what a journal tells is noted on the event loop, and made into spans in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog

from bridge.traces.call_spans import COMPLETE, KINDS, CallSpans
from bridge.traces.settings import TraceSettings

if TYPE_CHECKING:
    from bridge.traces.sending import SpanSender

log = structlog.get_logger(__name__)

Reader = Callable[[dict[str, Any]], None]


class CallTraces:
    """Follows calls. A turn costs the event loop one hand-over to a thread, whatever the collector does."""

    def __init__(self, settings: TraceSettings) -> None:
        self._content = settings.otel_instrumentation_genai_capture_message_content
        self._thread: ThreadPoolExecutor | None = None
        self._sender: SpanSender | None = None
        if settings.otel_exporter_otlp_endpoint:
            from bridge.traces import sending  # its packages are there: the settings have been checked

            self._thread = ThreadPoolExecutor(1, thread_name_prefix="traces")
            self._sender = sending.SpanSender(settings)

    def follow(self, call_id: UUID) -> Reader | None:
        """Returns what is to be told the lines of a call's journal; None where no traces are sent."""
        thread, sender = self._thread, self._sender
        if thread is None or sender is None:
            return None
        spans = CallSpans(str(call_id), content=self._content)
        waiting: list[dict[str, Any]] = []

        def make(lines: list[dict[str, Any]]) -> None:
            try:
                sender.send(call_id, spans.take(lines))
            except Exception:
                log.exception("the spans of a turn are lost", call=str(call_id))

        def read(line: dict[str, Any]) -> None:
            if line["type"] not in KINDS:
                return
            waiting.append(line)
            if line["type"] in COMPLETE:
                thread.submit(make, waiting.copy())
                waiting.clear()

        return read

    async def close(self) -> None:
        """Sends what is left once the last call has ended, within some seconds."""
        if self._thread is not None and self._sender is not None:
            await asyncio.to_thread(self._close, self._thread, self._sender)

    @staticmethod
    def _close(thread: ThreadPoolExecutor, sender: SpanSender) -> None:
        thread.shutdown()
        sender.close()
