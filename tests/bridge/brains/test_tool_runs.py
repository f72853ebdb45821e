"""Tools at work when the caller interrupts: nothing with effects is lost, and nothing is done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from bridge.brains.brain import EndText, Piece, Say
from bridge.brains.http_tool import IDEMPOTENCY_KEY, HttpTool
from bridge.brains.llm import EARLIER_TOOLS_S, LlmBrain
from bridge.brains.tool_runs import AT_WORK
from tests.support.llm_brain import brain, collect, text_of
from tests.support.llm_server import Answer, LlmServer, ToolCall
from tests.support.loop_clock import LoopClock
from tests.support.serving import serving
from tests.support.whole_app import whole_app


@dataclass
class Shop:
    """A server of tools, which answers when the test lets it; each path is a tool."""

    url: str = ""
    asked: list[tuple[str, Any, str | None]] = field(default_factory=list)
    """Path, arguments and idempotency key of each request."""
    done: list[str] = field(default_factory=list)
    """What was carried out to its end."""
    dropped: list[str] = field(default_factory=list)
    at_work: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    statuses: list[int] = field(default_factory=list)

    def tool(self, name: str = "book", **fields: Any) -> HttpTool:
        return HttpTool(name=name, description="d", url=f"{self.url}/{name}", **fields)

    async def handle(self, request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        arguments = await request.json() if request.can_read_body else dict(request.query)
        self.asked.append((name, arguments, request.headers.get(IDEMPOTENCY_KEY)))
        self.at_work.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            await self._note(self.dropped, name)
            raise
        await self._note(self.done, name)
        return web.Response(text=f"{name} done", status=self.statuses.pop(0) if self.statuses else 200)

    async def _note(self, where: list[str], name: str) -> None:
        where.append(name)
        async with self.changed:
            self.changed.notify_all()

    async def until(self, where: list[str], count: int = 1) -> None:
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(lambda: len(where) >= count)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    async with serving(shop.handle) as url:
        shop.url = url
        yield shop


@asynccontextmanager
async def cut_at_work(ai: LlmBrain, shop: Shop, said: str = "a table") -> AsyncIterator[None]:
    """A turn that the caller interrupts while its tool is at work; it has ended when the block begins."""
    shop.at_work.clear()
    async with aclosing(ai.answer(said)) as pieces:
        turn = asyncio.create_task(collect(pieces))
        await shop.at_work.wait()
        turn.cancel()
        ai.heard("", interrupted=True)  # as `Speaking.cut` tells it: before the turn's task has noticed
        await asyncio.gather(turn, return_exceptions=True)
    yield


def books_until_booked(messages: list[dict[str, Any]]) -> Answer:
    """A model that books for as long as it does not know of a booking."""
    if any(message["role"] == "tool" and "done" in message["content"] for message in messages):
        return Answer("It is booked.")
    return Answer(tools=[ToolCall("book", {"people": 2})])


async def test_a_caller_who_is_impatient_and_asks_again_gets_one_booking(shop: Shop) -> None:
    async with LlmServer(respond=books_until_booked) as model, brain(model, shop.tool()) as ai:
        async with cut_at_work(ai, shop):
            turn = asyncio.create_task(collect(ai.answer("hello? a table please")))
            await asyncio.sleep(0)
            shop.go_on.set()
            assert text_of(await turn) == "It is booked."
        roles = [message["role"] for message in model.requests[-1]["messages"]]
        assert roles == ["user", "assistant", "tool", "assistant", "user"]
        assert model.requests[-1]["messages"][2]["content"] == "book done"
    assert [name for name, _, _ in shop.asked] == shop.done == ["book"]


async def test_a_model_that_books_again_in_other_words_while_the_first_is_at_work_is_told_its_result(
    shop: Shop,
) -> None:
    """The tool takes longer than the next turn waits, and the model does not heed that it is at work."""
    answers = [Answer(tools=[ToolCall("book", {"people": "two"})]), Answer("It is booked.")]
    with LoopClock() as clock:
        async with (
            LlmServer(Answer(tools=[ToolCall("book", {"people": 2})]), *answers) as model,
            brain(model, shop.tool(timeout_ms=60_000)) as ai,
            cut_at_work(ai, shop),
        ):
            turn = asyncio.create_task(collect(ai.answer("hello? a table please")))
            await asyncio.sleep(0)
            model.asked.clear()
            clock.advance(EARLIER_TOOLS_S)
            await model.asked.wait()
            assert model.requests[1]["messages"][2]["content"] == AT_WORK
            for _ in range(1_000):  # the answer is read, and its tool begun
                await asyncio.sleep(0)
            shop.go_on.set()
            assert text_of(await turn) == "It is booked."
            told = model.requests[2]["messages"][-1]["content"]
            assert "was not made" in told
            assert '{"people": 2}' in told
            assert "book done" in told
    assert [name for name, _, _ in shop.asked] == ["book"]


async def test_a_result_that_comes_after_the_next_answer_is_known_to_the_one_after_it(shop: Shop) -> None:
    with LoopClock() as clock:
        async with (
            LlmServer(Answer(tools=[ToolCall("book")]), "I am still at it.", "Yes.") as model,
            brain(model, shop.tool(timeout_ms=60_000)) as ai,
            cut_at_work(ai, shop),
        ):
            turn = asyncio.create_task(collect(ai.answer("hello?")))
            await asyncio.sleep(0)
            clock.advance(EARLIER_TOOLS_S)
            assert text_of(await turn) == "I am still at it."
            ai.heard("I am still at it.", interrupted=False)
            shop.go_on.set()
            await shop.until(shop.done)
            assert text_of(await collect(ai.answer("and?"))) == "Yes."
            assert [m["content"] for m in model.requests[2]["messages"] if m["role"] == "tool"] == ["book done"]


async def test_a_caller_who_interrupts_twice_while_one_booking_is_at_work_gets_one(shop: Shop) -> None:
    """Each answer wants to book anew, in other words; the booking ends after the second interruption."""
    answers = [Answer(tools=[ToolCall("book", {"people": people})]) for people in (2, "two", "II")]
    with LoopClock() as clock:
        async with (
            LlmServer(*answers, "It is booked.", "Yes, it is.") as model,
            brain(model, shop.tool(timeout_ms=60_000)) as ai,
            cut_at_work(ai, shop),
        ):
            async with aclosing(ai.answer("hello? a table")) as pieces:
                turn = asyncio.create_task(collect(pieces))
                await asyncio.sleep(0)
                model.asked.clear()
                clock.advance(EARLIER_TOOLS_S)
                await model.asked.wait()
                for _ in range(1_000):  # the second answer is read, and waits for the first booking
                    await asyncio.sleep(0)
                turn.cancel()
                ai.heard("", interrupted=True)
                await asyncio.gather(turn, return_exceptions=True)
            turn = asyncio.create_task(collect(ai.answer("are you booking it?")))
            await asyncio.sleep(0)
            model.asked.clear()
            clock.advance(EARLIER_TOOLS_S)
            await model.asked.wait()
            for _ in range(1_000):
                await asyncio.sleep(0)
            shop.go_on.set()
            assert text_of(await turn) == "It is booked."
            ai.heard("It is booked.", interrupted=False)
            assert text_of(await collect(ai.answer("is it?"))) == "Yes, it is."
            messages = model.requests[-1]["messages"]
    assert shop.done == ["book"]
    assert len(shop.asked) == 1
    asked = [call["id"] for message in messages for call in message.get("tool_calls", ())]
    assert asked == [message["tool_call_id"] for message in messages if message["role"] == "tool"]
    assert AT_WORK not in [message["content"] for message in messages], "what came of it is known by now"


@pytest.mark.parametrize(
    ("fields", "finishes"),
    [
        ({"method": "POST"}, True),
        ({"method": "DELETE"}, True),
        ({"method": "GET"}, False),
        ({"method": "POST", "on_interrupt": "cancel"}, False),
        ({"method": "GET", "on_interrupt": "finish"}, True),
    ],
)
async def test_what_has_effects_is_finished_and_the_rest_is_cancelled_unless_the_file_says_otherwise(
    shop: Shop, fields: dict[str, Any], finishes: bool
) -> None:
    async with (
        LlmServer(Answer(tools=[ToolCall("book")]), "Yes.") as model,
        brain(model, shop.tool(**fields)) as ai,
        cut_at_work(ai, shop),
    ):
        if finishes:
            shop.go_on.set()
            await shop.until(shop.done)
        else:
            await shop.until(shop.dropped)
        await collect(ai.answer("hello?"))
        roles = [message["role"] for message in model.requests[1]["messages"]]
        assert roles == (["user", "assistant", "tool", "assistant", "user"] if finishes else ["user"])


async def test_a_turn_that_was_cut_before_its_tools_began_begins_none(shop: Shop) -> None:
    """The last words of an answer may have come already when the caller cuts it."""
    async with (
        LlmServer(Answer("I book it.", [ToolCall("book")])) as model,
        brain(model, shop.tool()) as ai,
        aclosing(ai.answer("a table")) as pieces,
    ):
        assert await anext(pieces) == "I "
        ai.heard("I", interrupted=True)
        await collect(pieces)
    assert not shop.asked


async def test_a_booking_is_finished_when_the_caller_hangs_up(shop: Shop, tmp_path: Any) -> None:
    (tmp_path / "tools.yaml").write_text(f"tools: [{{name: book, description: d, url: '{shop.url}/book'}}]")
    said = {"type": "conversation.item.input_audio_transcription.completed", "transcript": "Book.", "item_id": "i1"}
    async with LlmServer(Answer(tools=[ToolCall("book")])) as model:
        settings = {"llm_base_url": model.url, "llm_model": "m", "llm_tools": tmp_path / "tools.yaml", "filler": ""}
        async with whole_app(**settings) as bench:
            peer = await bench.call()
            await bench.post(f"/v1/calls/{peer.id}/events", said)
            await shop.at_work.wait()
            await bench.ended(peer)
            shop.go_on.set()
            await shop.until(shop.done)
    assert shop.dropped == []


async def test_an_impatient_caller_of_the_whole_server_gets_one_booking(shop: Shop, tmp_path: Any) -> None:
    (tmp_path / "tools.yaml").write_text(f"tools: [{{name: book, description: d, url: '{shop.url}/book'}}]")
    said = {"type": "conversation.item.input_audio_transcription.completed"}
    async with LlmServer(respond=books_until_booked) as model:
        settings = {"llm_base_url": model.url, "llm_model": "m", "llm_tools": tmp_path / "tools.yaml", "filler": ""}
        async with whole_app(**settings) as bench:
            peer = await bench.call()
            await bench.post(f"/v1/calls/{peer.id}/events", {**said, "transcript": "A table.", "item_id": "i1"})
            await shop.at_work.wait()
            await bench.post(f"/v1/calls/{peer.id}/events", {**said, "transcript": "Hello? A table?", "item_id": "i2"})
            shop.go_on.set()
            await peer.hear(voiced=True)
            assert [text for text, _ in bench.engine.spoken] == ["It is booked."]
            await peer.close()
    assert shop.done == ["book"]


async def test_tools_of_one_answer_are_at_work_together_and_told_in_the_order_of_their_calls() -> None:
    both, first = asyncio.Barrier(2), asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        async with asyncio.timeout(30):
            await both.wait()
            if name == "book":
                await first.wait()
        first.set()
        return web.Response(text=f"{name} done")

    async with serving(handle) as url:
        tools = [HttpTool(name=name, description="d", url=f"{url}/{name}") for name in ("book", "mail")]
        answer = Answer(tools=[ToolCall("book"), ToolCall("mail")])
        async with LlmServer(answer, "Both.") as model, brain(model, *tools) as ai:
            assert text_of(await collect(ai.answer("do it"))) == "Both."
            results = [m["content"] for m in model.requests[1]["messages"] if m["role"] == "tool"]
    assert results == ["book done", "mail done"]


async def first_pieces(ai: LlmBrain, shop: Shop) -> list[Piece]:
    """What a turn says before its tool answers."""
    pieces: list[Piece] = []

    async def take() -> None:
        async for piece in ai.answer("a table"):
            pieces.append(piece)

    turn = asyncio.create_task(take())
    await shop.at_work.wait()
    for _ in range(100):
        await asyncio.sleep(0)
    before = list(pieces)
    shop.go_on.set()
    await turn
    return before


async def test_a_line_is_said_while_a_tool_is_at_work_if_the_model_said_nothing(shop: Shop) -> None:
    tool = shop.tool(say="One moment {name}, I book it.")
    again = Answer(tools=[ToolCall("book", {"n": 2})])
    async with (
        LlmServer(Answer(tools=[ToolCall("book")]), again, "Done.") as model,
        brain(model, tool, variables={"name": "Ada"}) as ai,
    ):
        assert await first_pieces(ai, shop) == [Say("One moment Ada, I book it.")]
        assert model.requests[1]["messages"][1]["content"] == "One moment Ada, I book it."
        assert model.requests[2]["messages"][3]["content"] is None, "no line is said twice in a turn"
    shop.go_on.clear()
    shop.at_work.clear()
    async with LlmServer(Answer("I look. ", [ToolCall("book")]), "Done.") as model, brain(model, tool) as ai:
        assert await first_pieces(ai, shop) == ["I ", "look. ", EndText()]


async def test_a_call_that_is_repeated_for_want_of_an_answer_has_the_same_key_and_a_new_one_another(shop: Shop) -> None:
    shop.go_on.set()
    shop.statuses += [503, 409, 200, 200, 422, 200]
    two, three = ToolCall("book", {"people": 2, "day": 1}), ToolCall("book", {"people": 3})
    same = ToolCall("book", '{"day": 1,  "people": 2}')
    calls = [Answer(tools=[call]) for call in (two, same, two, two, three, three)]
    async with LlmServer(*calls, "Done.") as model, brain(model, shop.tool()) as ai:
        await collect(ai.answer("do it"))
    keys = [key for _, _, key in shop.asked]
    assert all(keys)
    assert keys[0] == keys[1] == keys[2], "it was not certain what the first two had done"
    assert len({*keys[2:]}) == 4, "whatever is asked after an answer is another booking"


async def test_a_tool_that_was_not_heard_of_in_time_may_have_worked_and_is_asked_with_its_key(shop: Shop) -> None:
    call = Answer(tools=[ToolCall("book")])
    async with LlmServer(call, call, "Done.") as model, brain(model, shop.tool(timeout_ms=700)) as ai:
        await collect(ai.answer("do it"))
        told = model.requests[1]["messages"][-1]["content"]
    assert told == "error: no answer within 700 ms; it may have been done all the same"
    (first, second) = (key for _, _, key in shop.asked)
    assert first == second
