"""The scripted model: which answer fits, in the words of the chat API, and the tools it stands in for."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import aiohttp

from bridge.brains.tools import load_tools
from bridge.converse.scenario import Scenario
from bridge.converse.scripted_model import UNKNOWN, ScriptedModel
from bridge.converse.timeline import ToolCall


def scenario() -> Scenario:
    answers = [{"heard": "^open", "say": "At nine."}, {"heard": "table", "tool": {"name": "book"}}]
    given = {"caller": [{"say": "Hi."}], "answers": answers, "tools": {"book": {"result": "booked"}}}
    return Scenario.model_validate(given)


def test_the_first_answer_that_fits_the_latest_message_is_given() -> None:
    model, call_id, asked = ScriptedModel(), uuid4(), scenario()
    model.expect(call_id, asked)
    prompt = {"role": "system", "content": f'call "{call_id}"'}
    assert model.answer([prompt, {"role": "user", "content": "Open when?"}]) == asked.answers[0]
    assert model.answer([prompt, {"role": "user", "content": "A table, open air"}]) == asked.answers[1]
    assert model.answer([prompt, {"role": "user", "content": "Hello"}]) == UNKNOWN
    assert model.answer([{"role": "system", "content": f"call {uuid4()}"}]) == UNKNOWN
    assert model.answer([]) == UNKNOWN


def test_an_answer_may_want_to_know_something_first() -> None:
    answers = [{"heard": "window", "knows": "booked", "say": "It is booked."}, {"say": "Shall I book it?"}]
    model, call_id = ScriptedModel(), uuid4()
    model.expect(call_id, Scenario.model_validate({"caller": [{"say": "Hi."}], "answers": answers}))
    prompt, said = {"role": "system", "content": f"call {call_id}"}, {"role": "user", "content": "At the window"}
    assert model.answer([prompt, said]).say == "Shall I book it?"
    assert model.answer([prompt, {"role": "tool", "content": "booked"}, said]).say == "It is booked."


async def test_a_tools_calls_are_kept_for_their_call(tmp_path: Path) -> None:
    call_id, other = uuid4(), uuid4()
    async with ScriptedModel() as model, aiohttp.ClientSession() as http:
        called, not_called = model.expect(call_id, scenario()), model.expect(other, scenario())
        model.write_tools([scenario(), scenario()], tmp_path / "tools.yaml")
        (tool,) = load_tools(tmp_path / "tools.yaml")
        async with http.post(tool.address({"call": str(call_id)}), json={"seats": 2}) as response:
            assert await response.text() == "booked"
        async with http.post(tool.address({"call": str(uuid4())}), json={}) as response:
            assert response.status == 404
    assert called == [ToolCall("book", {"seats": 2})]
    assert not_called == []
