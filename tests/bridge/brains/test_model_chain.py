"""A model that fails is asked again, then another one is; the caller hears nothing twice and no half sentence."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from bridge.brains.brain import BrainError, BreakOff, Piece
from bridge.brains.http_tool import HttpTool
from bridge.brains.model_chain import REST_S
from tests.support.llm_brain import brain, collect, text_of
from tests.support.llm_server import Answer, LlmServer, ToolCall
from tests.support.loop_clock import LoopClock
from tests.support.serving import serving


@pytest.mark.parametrize(
    "failure",
    [Answer(""), Answer(blank=" \n"), Answer(status=500), Answer(status=429), Answer(rubbish=b"data: {]\n\n")],
)
async def test_a_failure_before_anything_was_said_is_asked_again_once(failure: Answer) -> None:
    async with LlmServer(failure, "Hello.") as server, brain(server) as ai:
        assert await collect(ai.answer("hello")) == ["Hello."]
    assert server.requests[0] == server.requests[1]


async def test_a_second_model_is_asked_when_the_first_fails_twice_and_then_the_error_is_raised() -> None:
    first, second = LlmServer(Answer(status=500), Answer("")), LlmServer("Hello.", Answer(""), Answer(status=401))
    async with first, second, brain(first, second=second, system_prompt="You serve.") as ai:
        assert text_of(await collect(ai.answer("hello"))) == "Hello."
        assert second.requests[0] == {**first.requests[0], "model": "m2"}
        ai.heard("Hello.", interrupted=False)
        first.answers += ["", ""]
        with pytest.raises(BrainError, match=r"answered nothing; then .*HTTP 401"):
            await collect(ai.answer("and?"))


async def test_what_would_be_refused_again_is_not_asked_again() -> None:
    first, second = LlmServer(Answer(status=401)), LlmServer("Hello.")
    async with first, second, brain(first, second=second) as ai:
        assert text_of(await collect(ai.answer("hello"))) == "Hello."
    assert len(first.requests) == 1


async def test_a_model_that_failed_is_not_waited_for_in_each_turn() -> None:
    first, second = LlmServer(Answer(hang=True), "Back again."), LlmServer("Hello.", "Hello.")
    with LoopClock() as clock:
        async with first, second, brain(first, second=second) as ai:
            turn = asyncio.create_task(collect(ai.answer("hello")))
            await first.asked.wait()
            clock.advance(8.0)
            assert text_of(await turn) == "Hello."
            ai.heard("Hello.", interrupted=False)
            assert text_of(await collect(ai.answer("and"))) == "Hello."
            assert len(first.requests) == 1
            ai.heard("Hello.", interrupted=False)
            clock.advance(REST_S)
            assert text_of(await collect(ai.answer("and"))) == "Back again."


async def test_one_model_alone_is_given_its_time_once_however_often_it_is_asked() -> None:
    with LoopClock() as clock:
        async with LlmServer(Answer(status=500), Answer(hang=True)) as server, brain(server) as ai:
            begun_s = clock.now_s()
            turn = asyncio.create_task(collect(ai.answer("hello")))
            await server.asked.wait()
            server.asked.clear()
            await server.asked.wait()
            clock.advance(begun_s + 8.0 - clock.now_s())
            with pytest.raises(BrainError, match="said nothing for 8000 ms"):
                await asyncio.wait_for(turn, 30)


async def test_an_answer_that_breaks_off_ends_with_its_last_whole_sentence() -> None:
    dies = Answer("We open at nine. On Sundays we", dies=True)
    async with LlmServer(dies) as server, brain(server) as ai:
        pieces = await collect(ai.answer("when?"))
        assert text_of(pieces) == "We open at nine. On Sundays we"
        assert pieces[-1] == BreakOff(), "the half sentence"
    assert len(server.requests) == 1, "the caller has an answer"


async def test_an_answer_that_breaks_off_in_its_first_sentence_is_taken_back_and_asked_for_again() -> None:
    async with LlmServer(Answer("We open", dies=True), "At nine.") as server, brain(server) as ai:
        assert await collect(ai.answer("when?")) == ["We ", "open", BreakOff(), "At ", "nine."]


async def test_a_second_model_that_dies_in_mid_sentence_leaves_no_half_sentence() -> None:
    broken = Answer(status=500)
    first, second = LlmServer(broken, broken), LlmServer(Answer("We open at", dies=True), Answer("At nine", dies=True))
    async with first, second, brain(first, second=second) as ai:
        pieces: list[Piece] = []

        async def hear() -> None:
            async for piece in ai.answer("when?"):
                pieces.append(piece)

        with pytest.raises(BrainError, match="then "):
            await hear()
        assert text_of(pieces) == "We open atAt nine"
        assert [pieces[-1], *(piece for piece in pieces if piece == BreakOff())] == [BreakOff()] * 3, "both taken back"
        ai.heard("", interrupted=False)
        first.answers += ["At nine. And on Sundays at ten."]
        second.answers += [Answer("At nine. And on Sundays", dies=True)]
        assert text_of(await collect(ai.answer("when?"))).startswith("At nine. And on Sundays")


async def test_an_answer_that_breaks_off_while_a_tool_is_being_called_calls_no_tool_but_is_asked_for_again() -> None:
    asked = 0

    async def handle(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(text="booked")

    async with serving(handle) as url:
        tool, call = HttpTool(name="book", description="d", url=url), ToolCall("book")
        answers = (Answer("I book it.", [call], dies=True), Answer("I book it.", [call]), Answer(status=500), "Done.")
        async with LlmServer(*answers) as server, brain(server, tool) as ai:
            pieces = await collect(ai.answer("a table"))
    assert text_of(pieces).endswith("Done.")
    assert asked == 1


async def test_a_model_that_refused_one_question_or_failed_once_is_asked_first_the_next_time() -> None:
    first = LlmServer(Answer(status=400), Answer(status=500), "Second try.", "Third.")
    second = LlmServer("First, by another.")
    async with first, second, brain(first, second=second) as ai:
        for said in ("First, by another.", "Second try.", "Third."):
            assert text_of(await collect(ai.answer("hello"))) == said
            ai.heard(said, interrupted=False)
