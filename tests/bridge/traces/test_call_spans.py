"""Spans out of the lines of a journal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from bridge.journal.events import EVENT
from bridge.traces.call_spans import KINDS, MS, CallSpans
from bridge.traces.span import Span

CALL: Final = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
ANSWERED_NS: Final = round(datetime(2030, 1, 2, 3, 4, 5, 678000, UTC).timestamp() * 1000) * MS
STAGES: Final = {
    "end_of_turn": (4600, 4800),
    "recogniser": (4600, 5000),
    "model": (5000, 5480),
    "first_sentence": (5480, 5780),
    "first_sound": (5780, 6330),
    "first_frame": (6330, 6400),
    "writing": (5480, 6100),
    "making": (6330, 7000),
    "playing": (6400, 8900),
}


def line(kind: str, at_ms: int, **fields: Any) -> dict[str, Any]:
    """A line of the journal, which is one by its schema."""
    told = {"type": kind, "call_id": CALL, "number": 1, "at_ms": at_ms, "time": "2030-01-02T03:04:05.688Z", **fields}
    EVENT.validate_python(told)
    assert kind in KINDS
    return told


def turn(number: int, *, interrupted: bool = False, **fields: Any) -> dict[str, Any]:
    stages = [{"stage": stage, "start_ms": start, "end_ms": end} for stage, (start, end) in STAGES.items()]
    return line("turn.done", 8900, turn=number, interrupted=interrupted, stages=stages, response_ms=1800, **fields)


def a_call(*, content: bool = False) -> list[Span]:
    """A call of two turns, in the second of which a tool works and the caller breaks in."""
    spans = CallSpans(CALL, content=content)
    answered = line("call.started", 10, journal_version=1, agent_name="shop", model="m")
    made = spans.take([answered, line("transcript.user", 5000, text="Two, please.", start_ms=4000, end_ms=4600)])
    assert made == []
    made += spans.take([line("transcript.agent", 8900, text="Yes.", interrupted=False, start_ms=1, end_ms=2), turn(1)])
    made += spans.take(
        [
            line("tool.done", 5500, tool="book", arguments='{"n": 2}', result="table 7", took_ms=400),
            line("response.interrupted", 7000, text="Yes", audio_end_ms=600, reason="words"),
            turn(2, interrupted=True),
        ]
    )
    made += spans.take([line("fault", 9000, service="llm", problem="HTTP 500: Two, please.")])
    return made + spans.take([line("call.ended", 10_000, reason="lost: [Errno 104]", underrun_frames=3)])


def named(spans: list[Span], name: str) -> Span:
    return next(span for span in spans if span.name == name)


def times_ms(span: Span) -> tuple[int, int]:
    """When it began and ended, since the answer."""
    return (span.start_ns - ANSWERED_NS) // MS, (span.end_ns - ANSWERED_NS) // MS


def test_a_call_has_a_span_and_so_has_each_turn_and_each_stage() -> None:
    spans = a_call()
    root = named(spans, "call")
    turns = [span for span in spans if span.name == "invoke_agent shop"]
    assert root.parent_id is None
    assert [one.parent_id for one in turns] == [root.span_id] * 2
    assert len({one.span_id for one in spans}) == len(spans)
    first = {one.name: times_ms(one) for one in spans if one.parent_id == turns[0].span_id}
    assert first == {
        "end_of_turn": (4600, 4800),
        "speech_to_text": (4600, 5000),
        "chat m": (5000, 6100),
        "text_to_speech": (5780, 7000),
        "first_frame": (6330, 6400),
        "playing": (6400, 8900),
    }
    assert times_ms(turns[0]) == (4600, 8900)
    assert times_ms(root) == (0, 10_000)
    tool = named(spans, "execute_tool book")
    assert (tool.parent_id, times_ms(tool)) == (turns[1].span_id, (5100, 5500))


def test_spans_have_the_names_of_the_conventions_and_of_livekit() -> None:
    spans = a_call()
    common = {"gen_ai.conversation.id": CALL, "gen_ai.agent.name": "shop"}
    assert all(one.attributes.items() >= common.items() for one in spans)
    operations = {one.name: one.attributes.get("gen_ai.operation.name") for one in spans}
    assert operations == {
        "call": None,
        "invoke_agent shop": "invoke_agent",
        "end_of_turn": None,
        "speech_to_text": "speech_to_text",
        "chat m": "chat",
        "text_to_speech": "text_to_speech",
        "first_frame": None,
        "playing": None,
        "execute_tool book": "execute_tool",
    }
    turn = named(spans, "invoke_agent shop").attributes
    assert {name: value for name, value in turn.items() if name.startswith("lk.")} == {
        "lk.e2e_latency": 1.8,
        "lk.end_of_turn_delay": 0.2,
        "lk.transcription_delay": 0.4,
        "lk.llm_node_ttft": 0.48,
        "lk.tts_node_ttfb": 0.55,
        "lk.interrupted": False,
    }
    chat = named(spans, "chat m").attributes
    assert (chat["gen_ai.request.model"], chat["gen_ai.response.time_to_first_chunk"]) == ("m", 0.48)
    assert named(spans, "text_to_speech").attributes["gen_ai.response.time_to_first_chunk"] == 0.55


def test_a_turn_that_was_cut_and_a_call_that_failed_say_so() -> None:
    spans = a_call()
    complete, cut = (one for one in spans if one.name == "invoke_agent shop")
    assert complete.attributes["gen_ai.agent.invocation.end_reason"] == "completed"
    assert cut.attributes["gen_ai.agent.invocation.end_reason"] == "interrupted"
    assert [(name, at // MS) for name, at, _ in cut.events] == [("response.interrupted", ANSWERED_NS // MS + 7000)]
    root = named(spans, "call")
    assert root.failed
    assert root.attributes["error.type"] == "llm"
    assert root.attributes["talkspurt.call.end_reason"] == "lost"
    assert root.attributes["talkspurt.call.underrun_frames"] == 3
    assert not any(one.failed for one in spans if one is not root)


def test_content_is_in_four_attributes_and_only_where_it_is_asked_for() -> None:
    words = ("Two", "Yes", "table 7", '"n"')
    assert not any(word in repr(a_call()) for word in words)
    spans = a_call(content=True)
    content = {"gen_ai.input.messages", "gen_ai.output.messages"} | {
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
    }
    found = {name for one in spans for name in one.attributes if name in content}
    assert found == content
    for one in spans:
        for name in content:
            one.attributes.pop(name, None)
    assert not any(word in repr(spans) for word in words), "what is taken out is all of it"
    (said,) = json.loads(str(named(a_call(content=True), "invoke_agent shop").attributes["gen_ai.input.messages"]))
    assert said == {"role": "user", "parts": [{"type": "text", "content": "Two, please."}]}


def test_a_script_is_no_model_and_another_agent_has_its_own() -> None:
    spans = CallSpans(CALL)
    spans.take([line("call.started", 10, agent_name="menu")])
    assert named(spans.take([turn(1)]), "script").attributes.get("gen_ai.operation.name") is None
    spans.take([line("call.handed_over", 8950, from_agent="menu", agent_name="desk", model="big", reason="words")])
    made = spans.take([turn(2)])
    assert {"chat big", "invoke_agent desk"} <= {one.name for one in made}
    (root,) = spans.take([line("call.ended", 9_000, reason="hung up")])
    assert root.events == [("call.handed_over", ANSWERED_NS + 8950 * MS, {"agent_name": "desk"})]


def test_a_turn_without_stages_is_a_moment_and_a_call_has_only_so_many_events() -> None:
    spans = CallSpans(CALL)
    spans.take([line("call.started", 10, agent_name="menu")])
    (empty,) = spans.take([line("turn.done", 500, turn=1, interrupted=True, stages=[])])
    assert times_ms(empty) == (500, 500)
    spans.take(line("hold.ended", number) for number in range(1_000))
    (root,) = spans.take([line("call.ended", 9_000, reason="hung up")])
    assert len(root.events) == 128
