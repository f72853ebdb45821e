"""The language model's brain against a local server: streaming, tools, cuts, failures, and the history of it all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

from bridge.brains import history as history_module
from bridge.brains.brain import QUOTED_ARE_DATA, BrainError, Fallback, HangUp, Piece, Say, Transfer
from bridge.brains.history import History
from bridge.brains.http_tool import HttpTool
from bridge.brains.llm import MAX_ANSWER_CHARS, LlmBrain
from bridge.brains.messages import CALL_BEGINS
from bridge.brains.model import DELTAS_A_TURN
from bridge.brains.tool_calls import MAX_CALL_CHARS, MAX_TOOL_CALLS, ToolCalls
from tests.support.llm_brain import brain, brain_of, collect, text_of
from tests.support.llm_server import Answer, LlmServer, ToolCall
from tests.support.loop_clock import LoopClock
from tests.support.serving import serving
from tests.support.turns_of_the_loop import TurnsOfTheLoop


@pytest.fixture
async def loop_clock() -> AsyncIterator[LoopClock]:
    with LoopClock() as clock:
        yield clock


async def test_words_are_passed_on_as_they_come_and_heard_ones_are_remembered() -> None:
    async with (
        LlmServer("We have two sizes. Small or large?", "Large it is.") as server,
        brain(server, system_prompt="You serve {name}.", variables={"name": "Ada"}) as ai,
    ):
        pieces = await collect(ai.answer("a pizza"))
        assert len(pieces) > 3
        assert text_of(pieces) == "We have two sizes. Small or large?"
        ai.heard("We have two sizes.", interrupted=True)
        await collect(ai.answer("large"))
        assert server.requests[1]["messages"] == [
            {"role": "system", "content": f'You serve "Ada".\n\n{QUOTED_ARE_DATA}'},
            {"role": "user", "content": "a pizza"},
            {"role": "assistant", "content": "We have two sizes."},
            {"role": "user", "content": "large"},
        ]


async def test_what_is_said_during_a_hand_over_is_told_with_it() -> None:
    async with LlmServer("Moment.", "Which invoice?") as server, brain(server) as desk, brain(server) as sales:
        await collect(desk.answer("sales please"))
        desk.heard("Moment.", interrupted=False)
        await collect(sales.take_over(desk, "wants sales", "it is about an invoice"))
        assert server.requests[1]["messages"][-3:] == [
            {"role": "user", "content": "sales please"},
            {"role": "assistant", "content": "Moment."},
            {"role": "user", "content": "it is about an invoice [the call was handed over to you: wants sales]"},
        ]


async def test_a_turn_of_which_nothing_was_heard_leaves_no_message() -> None:
    async with LlmServer("One.", "Two.") as server, brain(server) as ai:
        await collect(ai.answer("I would like"))
        ai.heard("", interrupted=True)
        await collect(ai.answer("a table"))
        assert server.requests[1]["messages"] == [{"role": "user", "content": "I would like a table"}]


async def test_closing_cancels_the_request() -> None:
    async with LlmServer(Answer("One two three four", hang=True)) as server, brain(server) as ai:
        async with aclosing(ai.answer("hello")) as pieces:
            assert await anext(pieces) == "One "
        await server.left.wait()


async def test_an_http_tool_is_called_and_its_result_answered() -> None:
    async def hours(request: web.Request) -> web.Response:
        assert request.headers["X-Caller"] == "12345"
        assert request.query["who"] == "Ada & Bob?/"
        return web.Response(text=f"open until nine on {(await request.json())['day']}")

    async with serving(hours) as url:
        tool = HttpTool(name="hours", description="d", url=url + "?who={name}", headers={"X-Caller": "{from}"})
        answers = (Answer("Let me look.", [ToolCall("hours", {"day": "Monday"})]), "Until nine.", "Yes.")
        async with (
            LlmServer(*answers) as server,
            brain(server, tool, variables={"from": "12345", "name": "Ada & Bob?/"}) as ai,
        ):
            assert text_of(await collect(ai.answer("when?"))) == "Let me look.\nUntil nine."
            asked, result = server.requests[1]["messages"][-2:]
            assert asked["content"] == "Let me look."
            assert result["content"] == "open until nine on Monday"
            ai.heard("Let me look. Until nine.", interrupted=False)
            await collect(ai.answer("sure?"))
            messages = server.requests[2]["messages"]
            assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant", "user"]
            assert messages[1]["content"] is None, "what was said stands once, as it was heard"
            assert messages[3]["content"] == "Let me look. Until nine."


async def test_a_tool_after_which_nothing_is_said_is_an_answer_only_where_something_was_said_before() -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(text="booked")

    async with serving(handle) as url:
        tool, call = HttpTool(name="book", description="d", url=url), ToolCall("book")
        async with LlmServer(Answer("I book it.", [call]), "") as server, brain(server, tool) as ai:
            assert text_of(await collect(ai.answer("a table"))) == "I book it."
        async with LlmServer(Answer(tools=[call]), "", "") as server, brain(server, tool) as ai:
            with pytest.raises(BrainError, match="answered nothing"):
                await collect(ai.answer("a table"))
            ai.heard("", interrupted=True)
            assert [message["role"] for message in ai.history.messages()] == ["user", "assistant", "tool"]


@pytest.mark.parametrize(
    ("call", "action"),
    [
        (ToolCall("transfer", {"destination": "Sales"}), Transfer("ext-queues,400,1")),
        (ToolCall("hangup"), HangUp()),
    ],
)
async def test_transfer_and_hangup_come_last_and_are_forgotten_when_cut(call: ToolCall, action: Piece) -> None:
    async with LlmServer(Answer("Right away.", [call]), "Hello again.") as server, brain(server) as ai:
        pieces = await collect(ai.answer("sales please"))
        assert pieces[-1] == action
        ai.heard("Right", interrupted=True)
        await collect(ai.answer("no wait"))
        assert [message["role"] for message in server.requests[1]["messages"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (ToolCall("transfer", {"destination": "ext-queues,666,1"}), "not allowed"),
        (ToolCall("transfer"), "no destination"),
        (ToolCall("fly"), "no tool 'fly'"),
        (ToolCall("slow"), "no answer within 50 ms"),
        (ToolCall("broken"), "HTTP 500"),
        (ToolCall("gone"), "error: Client"),
        (ToolCall("wrong"), "error: ValueError"),
        (ToolCall("slow", '{"day": Mon'), "not JSON"),
    ],
)
async def test_a_tool_that_fails_is_told_to_the_model(call: ToolCall, told: str) -> None:
    async def handle(request: web.Request) -> web.Response:
        if request.query:
            await asyncio.Event().wait()
        return web.Response(status=500, text="no")

    async with serving(handle) as url:
        tools = [
            HttpTool(name="slow", description="d", url=f"{url}?slow=1", timeout_ms=50),
            HttpTool(name="broken", description="d", url=url),
            HttpTool(name="gone", description="d", url="http://127.0.0.1:9/"),
            HttpTool(name="wrong", description="d", url=url, headers={"X-Key": "two\nlines"}),
        ]
        async with LlmServer(Answer(tools=[call]), "Sorry.") as server, brain(server, *tools) as ai:
            assert text_of(await collect(ai.answer("do it"))) == "Sorry."
            *_, asked, answered = server.requests[1]["messages"]
            assert told in answered["content"]
            json.loads(asked["tool_calls"][0]["function"]["arguments"])  # servers parse it before all else


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(first_token_s=5.0), "said nothing for 500 ms"),
        (Answer("One two", hang=True), "said nothing for 500 ms"),
        (Answer(status=500), "failed"),
        (Answer(rubbish=b"data: {]\n\n"), "failed"),
        (Answer(rubbish=b"<html>"), "answered nothing"),
        (Answer(""), "answered nothing"),
        (Answer(blank=" \n\n"), "answered nothing"),
        (Answer(tools=[ToolCall("ask")] * (MAX_TOOL_CALLS + 1)), f"more than {MAX_TOOL_CALLS} tools"),
        (Answer(tools=[ToolCall("ask", "x" * MAX_CALL_CHARS)]), f"longer than {MAX_CALL_CHARS} characters"),
    ],
)
async def test_a_model_that_fails_raises_one_error(answer: Answer, message: str) -> None:
    timeout_ms = 500 if "500 ms" in message else 60_000
    async with LlmServer(respond=lambda _: answer) as server, brain(server, timeout_ms=timeout_ms) as ai:
        with pytest.raises(BrainError, match=message):
            await collect(ai.answer("hello"))


async def test_tool_calls_without_end_are_not_read_to_their_end(loop_clock: LoopClock) -> None:
    part = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "ask", "arguments": "x" * 1_000}}]}
    client = Thinker(loop_clock, part, pace_s=0.0, count=10_000)
    async with thinking(client) as ai:
        with pytest.raises(BrainError, match="longer"):
            await collect(ai.answer("hello"))
    assert client.closed
    assert client.told <= MAX_CALL_CHARS // 1_000


async def test_an_answer_without_end_is_cut(loop_clock: LoopClock) -> None:
    client = Thinker(loop_clock, {"content": "words "}, pace_s=0.0, count=MAX_ANSWER_CHARS)
    async with thinking(client) as ai:
        assert len(text_of(await collect(ai.answer("hello")))) == MAX_ANSWER_CHARS
    assert client.closed
    assert client.told <= MAX_ANSWER_CHARS // len("words ") + 1


async def test_many_deltas_at_once_leave_the_event_loop_its_turns() -> None:
    """The client does not wait for the network while it has unread bytes: thousands of deltas at a time."""

    class Flood(Thinker):
        async def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
            for _ in range(1_000):
                yield ChatCompletionChunk.model_construct(choices=[])

    async with thinking(Flood(LoopClock(), {}, pace_s=0.0, count=0)) as ai:
        with TurnsOfTheLoop() as turns, pytest.raises(BrainError, match="answered nothing"):
            await collect(ai.answer("hello"))
    assert turns.count >= 1_000 // (2 * DELTAS_A_TURN)


async def test_half_a_character_does_not_end_the_conversation() -> None:
    """JSON may hold a lone surrogate, which no request can be made of."""
    call = {"index": 0, "id": "a\ud800", "function": {"name": "n\ud800", "arguments": '"\ud800"'}}
    answers = (Answer(deltas=[{"content": "One \ud800 two"}, {"tool_calls": [call]}]), "Three.", "Four.")
    async with LlmServer(*answers) as server, brain(server) as ai:
        assert text_of(await collect(ai.answer("hello \ud800"))) == "One ? two\nThree."
        ai.heard("One ? two Three.", interrupted=False)
        assert text_of(await collect(ai.answer("more"))) == "Four."


async def test_a_long_argument_of_which_every_piece_has_an_id_is_taken() -> None:
    calls = ToolCalls()
    for part in range(10_000):
        delta = ChoiceDeltaToolCall.model_validate(
            {"index": 0, "id": f"call_{part:036}", "function": {"name": None if part else "ask", "arguments": "x"}}
        )
        calls.add(delta)
    assert [len(call.arguments) for call in calls.finish()] == [10_000]


async def test_the_history_is_bounded() -> None:
    history = History("You serve.")
    for _ in range(100):
        history.said("a" * 9_000)
    (_, message) = history.messages()
    assert len(message["content"]) == history_module.MAX_MESSAGE_CHARS
    asked = {"id": "1", "type": "function", "function": {"name": "ask", "arguments": "x" * 5_000}}
    for _ in range(100):
        tools = [
            {"role": "assistant", "content": None, "tool_calls": [asked]},
            {"role": "tool", "tool_call_id": "1", "content": "y" * 4_000},
        ]
        history.heard("b" * 9_000, tools)
        history.said("more")
    system, first, *others = history.messages()
    assert system["content"] == "You serve."
    assert first["role"] != "tool", "no result stands without its call"
    assert others[-1] == {"role": "user", "content": "more"}
    assert sum(len(message["content"] or "") for message in others) <= history_module.MAX_CHARS


def piece(call_id: str | None, name: str | None, arguments: str, index: int = 0) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}]}


@pytest.mark.parametrize(
    "deltas",
    [
        [piece("a", "book", '{"n"'), piece(None, None, ": 1}"), piece("b", "mail", '{"n"'), piece("b", None, ": 2}")],
        [piece("a", "book", '{"n": 1}'), piece("b", "mail", '{"n": 2}')],
        [piece("a", "book", '{"n"'), piece("b", "mail", '{"n"', 1), piece("a", "", ": 1}"), piece("b", "", ": 2}", 1)],
        [piece("a", "book", '{"n"'), piece("x", None, ": 1}"), piece("b", "mail", '{"n"'), piece("y", None, ": 2}")],
    ],
    ids=["one index", "one index, whole", "two indices", "a new id for each piece"],
)
async def test_calls_of_several_tools_are_told_apart(deltas: list[dict[str, Any]]) -> None:
    asked: list[tuple[str, Any]] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append((request.query["tool"], await request.json()))
        return web.Response(text="done")

    async with serving(handle) as url:
        tools = [HttpTool(name=name, description="d", url=f"{url}?tool={name}") for name in ("book", "mail")]
        async with LlmServer(Answer(deltas=deltas), "Both.") as server, brain(server, *tools) as ai:
            assert text_of(await collect(ai.answer("do it"))) == "Both."
            told = [message.get("tool_call_id") for message in server.requests[1]["messages"]]
    assert asked == [("book", {"n": 1}), ("mail", {"n": 2})]
    assert told == [None, None, "a", None, "b"]


class Thinker:
    """Returns a client whose model repeats one delta, each `pace_s` of the loop's clock after the last."""

    def __init__(self, clock: LoopClock, delta: dict[str, Any], pace_s: float, count: int, last: str = "") -> None:
        self.chat = SimpleNamespace(completions=SimpleNamespace(create=self._create))
        self.closed = False
        self.told = 0
        self._clock, self._pace_s = clock, pace_s
        self._deltas = [delta] * count + [{"content": last}]

    async def _create(self, **request: Any) -> Thinker:
        return self

    async def close(self) -> None:
        self.closed = True

    async def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        for delta in self._deltas:
            self.told += 1
            self._clock.advance(self._pace_s)
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # lets a timer that is due now run
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
            yield ChatCompletionChunk.model_validate(chunk)


@asynccontextmanager
async def thinking(client: Thinker) -> AsyncIterator[LlmBrain]:
    async with aiohttp.ClientSession() as http:
        yield brain_of(http, cast("AsyncOpenAI", client))


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "The caller wants"},
        {"reasoning": "The caller wants"},
        {"role": "assistant", "content": ""},
        {},
        {"content": "\n"},
    ],
)
async def test_a_model_that_only_thinks_meets_the_limit(loop_clock: LoopClock, delta: dict[str, Any]) -> None:
    client = Thinker(loop_clock, delta, pace_s=1.0, count=100, last="At last.")
    async with thinking(client) as ai:
        begun_s = loop_clock.now_s()
        with pytest.raises(BrainError, match="said nothing for 8000 ms"):
            await collect(ai.answer("hello"))
        assert 8.0 <= loop_clock.now_s() - begun_s < 9.5
        assert client.closed


async def test_a_model_that_thinks_within_the_limit_or_speaks_slowly_is_let_speak(loop_clock: LoopClock) -> None:
    thinks = Thinker(loop_clock, {"reasoning_content": "Hm"}, pace_s=1.0, count=6, last="At last.")
    async with thinking(thinks) as ai:
        assert text_of(await collect(ai.answer("hello"))) == "At last."
    speaks = Thinker(loop_clock, {"content": "Well, "}, pace_s=1.4, count=15, last="yes.")
    async with thinking(speaks) as ai:
        assert text_of(await collect(ai.answer("hello"))) == "Well, " * 15 + "yes."


async def test_a_model_that_writes_a_word_now_and_then_has_stalled(loop_clock: LoopClock) -> None:
    """Nothing is spoken before a sentence is whole: the caller would wait for half a minute."""
    stalls = Thinker(loop_clock, {"content": "Well, "}, pace_s=4.0, count=9, last="yes.")
    begun_s = loop_clock.now_s()
    async with thinking(stalls) as ai:
        with pytest.raises(BrainError, match="said nothing for 8000 ms"):
            await collect(ai.answer("hello"))
    assert loop_clock.now_s() - begun_s <= 16.0, "the first word, 8 s, and the next word that comes"


async def test_a_model_that_is_not_there_raises_the_same() -> None:
    server = LlmServer()
    server.url = "http://127.0.0.1:9/v1"
    async with brain(server) as ai:
        with pytest.raises(BrainError, match="failed"):
            await collect(ai.answer("hello"))


async def test_greeting_keys_and_silence() -> None:
    server = LlmServer("Your number is one two.")
    options = {"greeting": "Hello {name}.", "no_input_prompt": "Are you there?", "variables": {"name": "Ada"}}
    async with server, brain(server, **options) as ai:
        assert await collect(ai.greet()) == [Say("Hello Ada.")]
        ai.heard("Hello Ada.", interrupted=False)
        await collect(ai.pressed("12"))
        assert server.requests[0]["messages"] == [
            {"role": "user", "content": CALL_BEGINS},
            {"role": "assistant", "content": "Hello Ada."},
            {"role": "user", "content": "[pressed the keys 1 2]"},
        ]
        assert await collect(ai.silence()) == [Say("Are you there?")]
        assert await collect(ai.silence()) == [Say("Are you there?")]
        assert await collect(ai.silence()) == [Fallback()]


async def test_who_is_not_understood_is_told_so_and_then_sent_to_the_fallback() -> None:
    async with LlmServer("Yes.") as server, brain(server, unclear_prompt="Pardon?|Once more?") as ai:
        assert await collect(ai.misheard()) == [Say("Pardon?")]
        assert await collect(ai.misheard()) == [Say("Once more?")]
        await collect(ai.answer("a table"))
        assert await collect(ai.misheard()) == [Say("Pardon?")], "what was understood begins the count anew"
        await collect(ai.misheard())
        assert await collect(ai.misheard()) == [Fallback()]
        ai.prompt_with("Sind Sie da?", "Wie bitte?")
        assert await collect(ai.misheard()) == [Say("Wie bitte?")], "in another language it begins anew"
        assert await collect(ai.silence()) == [Say("Sind Sie da?")]
