"""Sends spans to a collector by OpenTelemetry's SDK, in threads of its own. Only this file imports the SDK."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.re import parse_env_headers

from bridge.masking import Masker, masked_url, secrets_of
from bridge.traces.settings import TraceSettings
from bridge.traces.span import Span

log = structlog.get_logger(__name__)

PATH: Final = "/v1/traces"
TIMEOUT_S: Final = 3.0
"""How long a collector may take, and so how long the server's end may wait for it."""
AGAIN_S: Final = 30.0
"""How long a collector that does not take spans is left alone; what is made meanwhile is lost."""
BATCH: Final = 32
"""Spans that are encoded at once, in 2 ms: the event loop, which needs Python's lock, may have to wait for that."""
MAX_REASON_CHARS: Final = 400


class PatientExporter(SpanExporter):
    """Leaves a collector alone for a while that does not take spans, and says so once."""

    def __init__(
        self,
        exporter: SpanExporter,
        where: str,
        mask: Callable[[str], str] = str,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`where` is what the log calls the collector, and `mask` takes secrets out of why it fails."""
        self._exporter, self._where, self._mask, self._now_s = exporter, where, mask, now_s
        self._failed = False
        self._again_s = 0.0
        self._reason = _FirstLine()
        logger = logging.getLogger("opentelemetry")
        logger.propagate = False  # it would say the same with each batch
        logger.handlers[:] = [self._reason]

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._failed and self._now_s() < self._again_s:
            return SpanExportResult.FAILURE
        self._reason.text = ""
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._failed:
            reason = self._mask(self._reason.text)[:MAX_REASON_CHARS]
            log.warning("traces are not taken: they are lost until they are", url=self._where, reason=reason)
        elif self._failed and not failed:
            log.info("traces are taken again", url=self._where)
        self._failed, self._again_s = failed, self._now_s() + AGAIN_S
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _FirstLine(logging.Handler):
    """Keeps what the SDK says first of a failure: its results tell no reason, and later it says that it gave up."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = self.text or record.getMessage()


class SpanSender:
    """Sends the spans of all calls. Its methods may be called from any one thread."""

    def __init__(self, settings: TraceSettings) -> None:
        endpoint = settings.otel_exporter_otlp_endpoint
        headers = parse_env_headers(settings.otel_exporter_otlp_headers.get_secret_value(), liberal=True)
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}{PATH}", headers=headers, timeout=TIMEOUT_S)
        patient = PatientExporter(exporter, masked_url(endpoint), Masker(secrets_of(dict(settings))))
        self._processor = BatchSpanProcessor(patient, max_export_batch_size=BATCH)
        self._resource = Resource.create({"service.name": settings.otel_service_name})
        self._scope = InstrumentationScope("talkspurt")

    def send(self, call_id: UUID, spans: Sequence[Span]) -> None:
        """Has the spans of a call sent soon. The trace's id is the call's."""
        for span in spans:
            self._processor.on_end(self._readable(call_id.int, span))

    def close(self) -> None:
        """Sends what is left, within some seconds."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, trace_id: int, span: Span) -> ReadableSpan:
        parent = _context(trace_id, span.parent_id) if span.parent_id is not None else None
        kind = SpanKind.SERVER if parent is None else SpanKind.CLIENT if span.asks else SpanKind.INTERNAL
        return ReadableSpan(
            span.name,
            _context(trace_id, span.span_id),
            parent,
            self._resource,
            span.attributes,
            [Event(name, attributes, at_ns) for name, at_ns, attributes in span.events],
            kind=kind,
            status=Status(StatusCode.ERROR if span.failed else StatusCode.UNSET),
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=self._scope,
        )


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
