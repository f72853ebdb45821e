"""A whole call's trace, as a collector reads it; and a collector that does not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from bridge.traces import sending
from bridge.traces.sending import AGAIN_S, PatientExporter
from tests.bridge.traces.collector import Collector, collecting, values
from tests.support.fakes import Asterisk
from tests.support.llm_server import Answer, LlmServer, ToolCall
from tests.support.serving import serving
from tests.support.whole_app import Bench, whole_app

STARTED: Final = {"type": "input_audio_buffer.speech_started"}
STOPPED: Final = {"type": "input_audio_buffer.speech_stopped"}
COMPLETED: Final = {"type": "conversation.item.input_audio_transcription.completed"}
LINES: Final = ("traces are not taken: they are lost until they are", "traces are taken again")


async def call(bench: Bench) -> Asterisk:
    """A call of two turns; in the second a tool is used, and the caller hangs up while the agent speaks."""
    peer = await bench.call(**{"from": "5557654321"})
    await peer.hear(voiced=True)
    for event in (STARTED, STOPPED, COMPLETED | {"transcript": "Two, xyzzyplugh."}):
        status, _ = await bench.post(f"/v1/calls/{peer.id}/events", event)
        assert status == 202
    while ("Table seven.", "") not in bench.engine.spoken:
        await peer.receive()
    await peer.hear(voiced=True)
    await bench.ended(peer)
    return peer


async def traced(collector_url: str, tmp_path: Path, **settings: Any) -> Asterisk:
    async def book(request: web.Request) -> web.Response:
        return web.Response(text="table 7 for xyzzyplugh")

    async with (
        serving(book) as url,
        LlmServer(Answer(tools=[ToolCall("book", {"people": 2})]), "Table seven.") as model,
    ):
        (tmp_path / "tools.yaml").write_text(f"tools: [{{name: book, description: Book., url: '{url}'}}]")
        about = {"llm_base_url": model.url, "llm_model": "m", "llm_tools": tmp_path / "tools.yaml"}
        about |= {"otel_exporter_otlp_endpoint": collector_url, "greeting": "Hello.", **settings}
        async with whole_app(**about) as bench:
            return await call(bench)


def children(collector: Collector, parent: Span) -> dict[str, Span]:
    return {span.name: span for span in collector.spans if span.parent_span_id == parent.span_id}


async def test_a_collector_is_sent_the_trace_of_a_call(tmp_path: Path) -> None:
    async with collecting() as collector:
        settings = {"otel_exporter_otlp_headers": "api-key=abc,x=y", "otel_service_name": "desk"}
        peer = await traced(collector.url, tmp_path, **settings)
    assert collector.headers[0]["api-key"] == "abc"
    assert {"service.name": "desk"}.items() <= collector.resources[0].items()
    assert {span.trace_id for span in collector.spans} == {peer.id.bytes}, "the trace has the call's id"
    (root,) = collector.named("call")
    assert root.parent_span_id == b""
    assert root.kind == Span.SPAN_KIND_SERVER
    assert values(root.attributes)["talkspurt.call.end_reason"] == "caller hung up"
    assert values(root.attributes)["talkspurt.call.turns"] == 2
    greeting, answer = sorted(collector.named("invoke_agent default"), key=lambda span: span.start_time_unix_nano)
    assert {greeting.parent_span_id, answer.parent_span_id} == {root.span_id}
    parts = children(collector, answer)
    assert parts.keys() >= {"speech_to_text", "chat m", "execute_tool book", "text_to_speech", "playing"}
    assert "speech_to_text" not in children(collector, greeting)
    assert parts["chat m"].kind == Span.SPAN_KIND_CLIENT
    assert parts["playing"].kind == Span.SPAN_KIND_INTERNAL
    for span in collector.spans:
        assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert abs(span.start_time_unix_nano / 1e9 - time.time()) < 60
    assert values(answer.attributes)["gen_ai.agent.invocation.end_reason"] == "interrupted"
    assert values(answer.attributes)["lk.e2e_latency"] >= 0
    assert not any(word in body for body in collector.bodies for word in (b"xyzzyplugh", b"5557654321", b"Table"))


@pytest.mark.parametrize("mode", ["off", "routing", "strict"])
async def test_what_was_said_is_in_a_trace_only_where_it_is_asked_for_and_privacy_keeps_it(
    mode: str, tmp_path: Path
) -> None:
    async with collecting() as collector:
        settings = {"otel_instrumentation_genai_capture_message_content": True}
        await traced(collector.url, tmp_path, privacy=mode, privacy_key="k" * 32, **settings)
    sent = b"".join(collector.bodies)
    assert all((word in sent) == (mode != "strict") for word in (b"Two, xyzzyplugh.", b"table 7 for xyzzyplugh"))
    assert b"5557654321" not in sent, "numbers are in no trace"
    assert collector.named("execute_tool book")


class Flaky(SpanExporter):
    """An exporter whose collector is there or not."""

    def __init__(self) -> None:
        self.there = False
        self.asked = 0

    def export(self, spans: Any) -> SpanExportResult:
        self.asked += 1
        return SpanExportResult.SUCCESS if self.there else SpanExportResult.FAILURE


def test_a_collector_that_is_away_is_left_alone_for_a_while_and_told_of_once() -> None:
    flaky, now_s = Flaky(), [100.0]
    exporter = PatientExporter(flaky, "http://collector", now_s=lambda: now_s[0])
    with capture_logs() as lines:
        for _ in range(50):
            assert exporter.export([]) is SpanExportResult.FAILURE
        assert flaky.asked == 1
        for _ in range(3):
            now_s[0] += AGAIN_S
            exporter.export([])
        assert flaky.asked == 4
        assert [line["event"] for line in lines] == [LINES[0]]
        flaky.there, now_s[0] = True, now_s[0] + AGAIN_S
        assert exporter.export([]) is SpanExportResult.SUCCESS
        assert exporter.export([]) is SpanExportResult.SUCCESS
    assert [line["event"] for line in lines] == list(LINES)
    assert flaky.asked == 6


async def test_calls_go_on_and_end_without_their_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sending, "TIMEOUT_S", 2.0)
    nobody = Collector()
    nobody.url = "http://user:hunter2@127.0.0.1:1/x?key=hunter2"
    with capture_logs() as lines:
        since_s = time.monotonic()
        await traced(nobody.url, tmp_path)
        assert time.monotonic() - since_s < 30
    told = [line for line in lines if "traces" in line["event"]]
    assert [line["event"] for line in told] == [LINES[0]]
    assert "refused" in told[0]["reason"], "why it does not take them"
    assert "hunter2" not in str(told)
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


async def test_without_a_collector_nobody_reads_the_journal() -> None:
    async with whole_app(greeting="Hello.") as bench:
        peer = await bench.call()
        conversation = bench.app.calls.find(peer.id)
        assert conversation is not None
        assert conversation.journal.readers == []
        await bench.ended(peer)
