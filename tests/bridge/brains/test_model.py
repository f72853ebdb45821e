"""How a model is asked: what its server refuses is left out, and every chat template takes the messages."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest
from structlog.testing import capture_logs

from bridge.brains.brain import BrainError
from bridge.brains.http_tool import HttpTool
from tests.support.chat_templates import TEMPLATES, render
from tests.support.llm_brain import brain, collect, text_of
from tests.support.llm_server import Answer, LlmServer, ToolCall

NO_TOOLS = (
    (400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),  # vLLM
    (400, "registry.ollama.ai/library/gemma:2b does not support tools"),
    (500, "tools param requires --jinja flag"),  # llama.cpp
    (404, "No endpoints found that support tool use."),  # OpenRouter
)


@pytest.mark.parametrize(("status", "message"), NO_TOOLS)
async def test_a_server_that_refuses_tools_is_asked_without_and_that_is_remembered(status: int, message: str) -> None:
    server = LlmServer("Hello.", "Again.", refuse=lambda body: (status, message) if "tools" in body else None)
    with capture_logs() as logs:
        async with server, brain(server) as ai:
            assert text_of(await collect(ai.answer("hello"))) == "Hello."
            ai.heard("Hello.", interrupted=False)
            assert text_of(await collect(ai.answer("and"))) == "Again."
    assert ["tools" in request for request in server.requests] == [True, False, False]
    (warning,) = (entry for entry in logs if entry["log_level"] == "warning")
    assert "LLM_SEND_TOOLS=false" in warning["advice"]


async def test_tools_are_sent_always_or_never_where_the_settings_say_so() -> None:
    server = LlmServer("Hello.", refuse=lambda body: (400, "no tools") if "tools" in body else None)
    async with server, brain(server, send_tools=False) as ai:
        assert text_of(await collect(ai.answer("hello"))) == "Hello."
    assert len(server.requests) == 1
    async with server, brain(server, send_tools=True) as ai:
        with pytest.raises(BrainError, match="HTTP 400"):
            await collect(ai.answer("hello"))
    assert len(server.requests) == 2


async def test_the_prompt_stands_in_the_caller_s_first_message_where_the_settings_say_so() -> None:
    async with LlmServer("Hello.") as server, brain(server, send_system=False, system_prompt="You serve.") as ai:
        await collect(ai.answer("hello"))
    assert server.requests[0]["messages"] == [{"role": "user", "content": "You serve.\n\nhello"}]


async def test_what_is_refused_for_another_reason_is_not_asked_again() -> None:
    server = LlmServer(refuse=lambda body: (400, "maximum context length exceeded"))
    async with server, brain(server) as ai:
        with pytest.raises(BrainError, match="HTTP 400"):
            await collect(ai.answer("hello"))
    assert len(server.requests) == 1


async def test_the_settings_reach_the_request() -> None:
    options = {
        "temperature": 0.0, "max_completion_tokens": 100, "reasoning_effort": "low",
        "extra_body": {"chat_template_kwargs": {"enable_thinking": False}},
    }  # fmt: skip
    async with LlmServer("Hello.") as server, brain(server, **options) as ai:
        await collect(ai.answer("hello"))
    (request,) = server.requests
    assert {"temperature", "max_completion_tokens", "reasoning_effort", "chat_template_kwargs"} <= set(request)
    assert request["temperature"] == 0.0
    assert request["chat_template_kwargs"] == {"enable_thinking": False}
    assert "max_tokens" not in request


async def test_thoughts_and_tool_calls_in_the_text_are_not_said() -> None:
    thinks = Answer("<think>The caller wants a table. </think>\n\nFor how many?")
    async with LlmServer(thinks) as server, brain(server) as ai:
        assert "".join(str(piece) for piece in await collect(ai.answer("a table"))) == "For how many?"


async def test_a_tool_call_in_the_text_alone_is_an_empty_answer_that_the_log_explains() -> None:
    writes = Answer('<tool_call>{"name": "book"}</tool_call>')
    with capture_logs() as logs:
        async with LlmServer(respond=lambda _: writes) as server, brain(server) as ai:
            with pytest.raises(BrainError, match="answered nothing"):
                await collect(ai.answer("a table"))
    assert any("needs a parser" in str(entry.get("advice")) for entry in logs)


async def test_a_model_that_only_thinks_in_its_text_meets_the_limit() -> None:
    thinks = Answer("<think>" + "and so on " * 1_000, token_s=0.05)
    async with LlmServer(thinks) as server, brain(server, timeout_ms=500) as ai:
        with pytest.raises(BrainError, match="said nothing for 500 ms"):
            await collect(ai.answer("hello"))


@pytest.mark.parametrize("missing", ["", None])
async def test_calls_without_an_id_are_given_one_each(missing: str | None) -> None:
    def part(name: str | None, arguments: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": 0, "id": missing, "function": {"name": name, "arguments": arguments}}]}

    deltas = [part("one", '{"n"'), part(None, ": 1}"), part("two", "{}")]
    async with LlmServer(Answer(deltas=deltas), "Both.") as server, brain(server) as ai:
        await collect(ai.answer("do it"))
        _, *told = server.requests[1]["messages"]
    asked = [message["tool_calls"][0] for message in told if "tool_calls" in message]
    assert [call["function"] for call in asked] == [
        {"name": "one", "arguments": '{"n": 1}'},
        {"name": "two", "arguments": "{}"},
    ]
    ids = [call["id"] for call in asked]
    assert ids == [message["tool_call_id"] for message in told if message["role"] == "tool"]
    assert len(set(ids)) == 2
    assert all(len(own) == 9 and own.isalnum() for own in ids), "what Mistral's templates take"


async def test_what_a_server_wants_back_with_a_call_is_sent_back_in_this_turn_and_the_next() -> None:
    signed = {"extra_content": {"google": {"thought_signature": "abc"}}}
    call = {"index": 0, "id": "a", "function": {"name": "ask", "arguments": "{}"}, **signed}
    async with LlmServer(Answer(deltas=[{"tool_calls": [call]}]), "Yes.", "Yes.") as server, brain(server) as ai:
        await collect(ai.answer("do it"))
        ai.heard("Yes.", interrupted=False)
        await collect(ai.answer("again"))
    for request in server.requests[1:]:
        assert request["messages"][1]["tool_calls"][0]["extra_content"] == signed["extra_content"]


# Chat templates ----------------------------------------------------------------------------------------------------


def server_of(template: str) -> LlmServer:
    """A server that refuses what its model's chat template does."""

    def refuse(body: dict[str, Any]) -> tuple[int, str] | None:
        try:
            render(template, body["messages"], body.get("tools"))
        except jinja2.TemplateError as error:
            return 400, str(error)
        return None

    return LlmServer(respond=lambda _: Answer("Yes."), refuse=refuse)


@pytest.mark.parametrize("template", ["gemma-2", "gemma-3", "llama-2", "mistral"])
def test_a_greeting_alone_before_the_caller_is_what_these_templates_refuse(template: str) -> None:
    with pytest.raises(jinja2.TemplateError, match="must alternate"):
        render(template, [{"role": "assistant", "content": "Hello."}, {"role": "user", "content": "a table"}], None)


@pytest.mark.parametrize("template", TEMPLATES)
async def test_every_chat_template_takes_a_whole_conversation(template: str) -> None:
    """A greeting before any word of the caller, one interrupted before its first word, an unheard turn, and keys."""
    async with server_of(template) as server, brain(server, greeting="Hello.", system_prompt="You serve.") as ai:
        ai.heard("Hello.", interrupted=False)
        for said, heard in (("a table", ""), ("please", "Yes."), ("for two", "Yes."), ("no", "")):
            assert text_of(await collect(ai.answer(said))) == "Yes."
            ai.heard(heard, interrupted=True)
        ai.heard("Are you still there?", interrupted=False)
        assert text_of(await collect(ai.pressed("12"))) == "Yes."
        refused = len(server.requests) - 5
        last = render(template, server.requests[-1]["messages"], server.requests[-1].get("tools"))
    assert refused <= 2, "each refusal is met once"
    for words in ("You serve.", "Hello.", "a table", "please", "Are you still there?", "[pressed the keys 1 2]"):
        assert last.count(words) == 1


@pytest.mark.parametrize("template", TEMPLATES)
async def test_every_chat_template_takes_a_conversation_with_tools(template: str) -> None:
    """The first model has tools and fails; the second has this template. The tool's result was not heard of."""
    first = LlmServer(Answer("I look.", [ToolCall("ask"), ToolCall("ask")]), Answer("It is", status=400))
    tool = HttpTool(name="ask", description="d", url="http://127.0.0.1:9/")
    async with first, server_of(template) as second, brain(first, tool, second=second, system_prompt="Go.") as ai:
        assert text_of(await collect(ai.answer("a table"))) == "I look.\nYes."
        ai.heard("", interrupted=True)
        assert text_of(await collect(ai.answer("hello?"))) == "Yes."
        last = second.requests[-1]
        assert "error: Client" in render(template, last["messages"], last.get("tools"))


async def test_a_model_that_needs_none_of_it_is_told_the_conversation_as_it_was() -> None:
    async with LlmServer("Yes.", "Yes.") as server, brain(server, system_prompt="You serve.") as ai:
        await collect(ai.answer("a table"))
        ai.heard("Yes.", interrupted=False)
        await collect(ai.answer("for two"))
    assert server.requests[1]["messages"] == [
        {"role": "system", "content": "You serve."},
        {"role": "user", "content": "a table"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "for two"},
    ]


BOOK = {"name": "book", "arguments": "{}"}


@pytest.mark.parametrize(
    "piece",
    [
        [],
        "book",
        {"index": {}, "id": "a", "function": BOOK},
        {"index": 0, "id": 5, "function": BOOK},
        {"index": 0, "id": "a", "function": "book"},
        {"index": 0, "id": "a", "function": {"name": ["book"], "arguments": "{}"}},
        {"index": 0, "id": "a", "function": {"name": "book", "arguments": {}}},
        {"index": 0, "id": "a", "function": BOOK, "extra_content": "\ud800"},
        {"index": 0, "id": "a", "function": BOOK, "extra_content": {"signature": float("nan")}},
    ],
)
async def test_a_tool_call_of_no_known_form_is_no_answer_and_the_model_is_asked_again(piece: object) -> None:
    """OpenAI's client passes on whatever was sent."""
    async with LlmServer(Answer(deltas=[{"tool_calls": [piece]}]), "Hello.") as server, brain(server) as ai:
        assert text_of(await collect(ai.answer("hello"))) == "Hello."
    assert len(server.requests) == 2
