"""Makes spans out of the lines of a call's journal. No I/O.

Operations and attributes are those of OpenTelemetry's conventions for generative AI, with the proposal for voice
(`speech_to_text`, `text_to_speech`); a turn's latencies also stand under LiveKit's names (`lk.…`), in seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from bridge.traces.span import Span, Value, new_id

MS: Final = 1_000_000
MAX_EVENTS: Final = 128
"""How many events a span has, as many as the SDK allows by default."""
OPERATION: Final = "gen_ai.operation.name"
TO_FIRST: Final = "gen_ai.response.time_to_first_chunk"
INPUT: Final = "gen_ai.input.messages"
OUTPUT: Final = "gen_ai.output.messages"
ARGUMENTS: Final = "gen_ai.tool.call.arguments"
RESULT: Final = "gen_ai.tool.call.result"
LATENCIES: Final = {
    "end_of_turn": "lk.end_of_turn_delay",
    "recogniser": "lk.transcription_delay",
    "model": "lk.llm_node_ttft",
    "first_sound": "lk.tts_node_ttfb",
}
"""LiveKit's names for how long a turn's stages took."""
PARTS: Final = ("end_of_turn", "first_frame", "playing")
"""Stages that have spans of their own names; the others are parts of an operation."""
IN_TURN: Final = frozenset({"response.paused", "response.resumed", "response.interrupted"})
IN_CALL: Final = {
    "call.answered_by": ("who", "by"),
    "call.handed_over": ("agent_name",),
    "fault": ("service",),
    "hold.began": (),
    "hold.ended": (),
    "language.switched": ("language",),
    "transfer.done": ("outcome",),
}
"""What is an event of the call's span, with the fields that hold nothing that was said."""
KINDS: Final = frozenset(
    {"call.started", "transcript.user", "transcript.agent", "turn.done", "tool.done", "call.ended", *IN_TURN, *IN_CALL}
)
"""The lines that are looked at."""
COMPLETE: Final = frozenset({"turn.done", "call.ended"})
"""The lines that complete spans."""


class CallSpans:
    """The spans of one call, complete ones turn by turn and the call's own at its end."""

    def __init__(self, call_id: str, *, content: bool = False) -> None:
        """With `content` spans hold what the lines hold of words, and of what tools were given and answered."""
        self._content = content
        self._common: dict[str, Value] = {"gen_ai.conversation.id": call_id}
        self._answered_ns = 0
        self._model = ""
        self._call = Span("call", 0, 0)
        self._turn_id = new_id()
        """The id of the turn's span that is completed next."""
        self._turns = 0
        self._tools: list[Span] = []
        self._events: list[tuple[str, int, dict[str, Value]]] = []
        self._messages: dict[str, list[dict[str, Any]]] = {INPUT: [], OUTPUT: []}

    def take(self, lines: Iterable[dict[str, Any]]) -> list[Span]:
        """Takes lines of `KINDS` in their order; returns the spans that are complete now."""
        return [span for line in lines for span in self._take(line)]

    def _take(self, line: dict[str, Any]) -> list[Span]:
        match line["type"]:
            case "call.started":
                time = datetime.fromisoformat(line["time"])
                self._answered_ns = round(time.timestamp() * 1000) * MS - line["at_ms"] * MS
                self._call.start_ns = self._answered_ns
                self._use_agent(line)
            case "transcript.user":
                self._said(INPUT, "user", line["text"])
            case "transcript.agent":
                self._said(OUTPUT, "assistant", line["text"])
            case "tool.done":
                self._tools.append(self._tool(line))
            case "turn.done":
                return self._turn(line)
            case "call.ended":
                return [*self._tools, self._ended(line)]
            case kind if kind in IN_TURN:
                self._note(self._events, line, ())
            case kind if kind in IN_CALL:
                self._note(self._call.events, line, IN_CALL[kind])
                if kind == "call.handed_over":
                    self._use_agent(line)
                elif kind == "fault":
                    self._call.failed, self._call.attributes["error.type"] = True, line["service"]
        return []

    def _use_agent(self, line: dict[str, Any]) -> None:
        self._common["gen_ai.agent.name"] = line["agent_name"]
        self._model = line.get("model", "")

    def _said(self, side: str, role: str, text: str) -> None:
        if self._content and text:
            message: dict[str, Any] = {"role": role, "parts": [{"type": "text", "content": text}]}
            self._messages[side].append(message | ({"finish_reason": "stop"} if side == OUTPUT else {}))

    def _note(
        self, events: list[tuple[str, int, dict[str, Value]]], line: dict[str, Any], names: Iterable[str]
    ) -> None:
        if len(events) < MAX_EVENTS:
            events.append((line["type"], self._ns(line["at_ms"]), {name: line[name] for name in names}))

    def _tool(self, line: dict[str, Any]) -> Span:
        span = self._span(
            f"execute_tool {line['tool']}", line["at_ms"] - line["took_ms"], line["at_ms"], operation="execute_tool"
        )
        span.attributes |= {"gen_ai.tool.name": line["tool"], "gen_ai.tool.type": "function"}
        if self._content:
            span.attributes |= {ARGUMENTS: line["arguments"], RESULT: line["result"]}
        return span

    def _turn(self, line: dict[str, Any]) -> list[Span]:
        stages = {stage["stage"]: (stage["start_ms"], stage["end_ms"]) for stage in line["stages"]}
        starts, ends = [start for start, _ in stages.values()], [end for _, end in stages.values()]
        name = f"invoke_agent {self._common.get('gen_ai.agent.name', '')}".strip()
        turn = self._span(name, min(starts, default=line["at_ms"]), max(ends, default=line["at_ms"]), "invoke_agent")
        turn.span_id, turn.parent_id, turn.asks = self._turn_id, self._call.span_id, False
        turn.attributes |= {
            "gen_ai.agent.invocation.end_reason": "interrupted" if line["interrupted"] else "completed",
            "lk.interrupted": line["interrupted"],
            "talkspurt.turn": line["turn"],
        }
        if "response_ms" in line:
            turn.attributes["lk.e2e_latency"] = line["response_ms"] / 1000
        for stage, attribute in LATENCIES.items():
            if stage in stages:
                turn.attributes[attribute] = (stages[stage][1] - stages[stage][0]) / 1000
        for side, messages in self._messages.items():
            if messages:
                turn.attributes[side] = json.dumps(messages, ensure_ascii=False)
                messages.clear()
        turn.events, self._events = self._events, []
        spans = [*self._tools, *self._operations(stages), turn]
        self._tools, self._turn_id, self._turns = [], new_id(), self._turns + 1
        return spans

    def _operations(self, stages: dict[str, tuple[int, int]]) -> list[Span]:
        spans = [self._span(stage, *stages[stage]) for stage in PARTS if stage in stages]
        if "recogniser" in stages:
            spans.append(self._span("speech_to_text", *stages["recogniser"], "speech_to_text"))
        if "model" in stages:
            start_ms, first_ms = stages["model"]
            end_ms = stages.get("writing", (0, first_ms))[1]
            name, operation = (f"chat {self._model}", "chat") if self._model else ("script", "")
            answer = self._span(name, start_ms, end_ms, operation)
            if self._model:
                answer.attributes |= {"gen_ai.request.model": self._model, TO_FIRST: (first_ms - start_ms) / 1000}
            spans.append(answer)
        if "first_sound" in stages:
            start_ms, first_ms = stages["first_sound"]
            end_ms = stages.get("making", (0, first_ms))[1]
            speech = self._span("text_to_speech", start_ms, end_ms, "text_to_speech")
            speech.attributes[TO_FIRST] = (first_ms - start_ms) / 1000
            spans.append(speech)
        return spans

    def _ended(self, line: dict[str, Any]) -> Span:
        self._call.end_ns = self._ns(line["at_ms"])
        self._call.attributes |= self._common | {
            "talkspurt.call.end_reason": line["reason"].partition(":")[0],
            "talkspurt.call.turns": self._turns,
            "talkspurt.call.underrun_frames": line.get("underrun_frames", 0),
        }
        return self._call

    def _span(self, name: str, start_ms: int, end_ms: int, operation: str = "") -> Span:
        attributes = self._common | ({OPERATION: operation} if operation else {})
        start_ns, end_ns = self._ns(start_ms), self._ns(end_ms)
        return Span(name, start_ns, max(start_ns, end_ns), self._turn_id, attributes, asks=bool(operation))

    def _ns(self, at_ms: int) -> int:
        return self._answered_ns + at_ms * MS
