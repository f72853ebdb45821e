"""The scripted brain: answers by words and keys, ways on, and clear errors."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bridge.brains.brain import Fallback, HangUp, Piece, Say, Transfer
from bridge.brains.script import DEFAULT_SCRIPT, Script, ScriptBrain, load_script
from bridge.brains.tools import load_tool_servers, load_tools
from bridge.hearing.events import parse
from bridge.turns.words import MAX_SAID_CHARS

SCRIPT = Script.model_validate(
    {
        "steps": {
            "start": {
                "say": "Hello {name}.",
                "answers": [
                    {"match": ["sales", "buy something"], "dtmf": "1", "say": "Sales.", "goto": "sales"},
                    {"match": ["secret"], "dtmf": "42#"},
                ],
                "otherwise": {"say": "Sorry?"},
                "silence": {"say": "Are you there?"},
                "max_tries": 2,
            },
            "sales": {
                "say": "What?",
                "interruptible": False,
                "answers": [{"match": ["*"], "transfer": "ext-queues,400,1"}],
            },
        },
        "anywhere": [{"match": ["goodbye"], "say": "Bye.", "hangup": True}],
    }
)


async def collect(pieces: AsyncGenerator[Piece]) -> list[Piece]:
    return [piece async for piece in pieces]


async def test_the_greeting_knows_the_calls_variables() -> None:
    assert await collect(ScriptBrain(SCRIPT, {"name": "Ada"}).greet()) == [Say("Hello Ada.")]
    assert await collect(ScriptBrain(SCRIPT).greet()) == [Say("Hello .")]


async def test_a_call_that_is_taken_over_is_greeted_unless_the_caller_has_said_already_what_is_asked() -> None:
    greeting = [Say("Hello .")]
    assert await collect(ScriptBrain(SCRIPT).take_over(ScriptBrain(SCRIPT), "a key")) == greeting
    assert await collect(ScriptBrain(SCRIPT).take_over(ScriptBrain(SCRIPT), "a key", "okay")) == greeting
    known = await collect(ScriptBrain(SCRIPT).take_over(ScriptBrain(SCRIPT), "a key", "I want to buy something"))
    assert known == [Say("Sales."), Say("What?", interruptible=False)]


@pytest.mark.parametrize("said", ["Sales, please!", "I want to BUY something"])
async def test_words_lead_on(said: str) -> None:
    brain = ScriptBrain(SCRIPT)
    assert await collect(brain.answer(said)) == [Say("Sales."), Say("What?", interruptible=False)]
    assert await collect(brain.answer("anything")) == [Transfer("ext-queues,400,1")]


@pytest.mark.parametrize("said", ["salesman", "something to buy", ""])
async def test_other_words_are_asked_again_and_then_given_up(said: str) -> None:
    brain = ScriptBrain(SCRIPT)
    assert await collect(brain.answer(said)) == [Say("Sorry?")]
    assert await collect(brain.silence()) == [Say("Are you there?")]
    assert await collect(brain.answer(said)) == [Fallback()]


async def test_what_was_not_understood_counts_as_other_words() -> None:
    brain = ScriptBrain(SCRIPT)
    assert await collect(brain.misheard()) == [Say("Sorry?")]
    assert await collect(brain.answer("anything")) == [Say("Sorry?")]
    assert await collect(brain.misheard()) == [Fallback()]


async def test_keys() -> None:
    brain = ScriptBrain(SCRIPT)
    for digit in ("4", "2", "9", "4", "2"):
        assert await collect(brain.pressed(digit)) == []
    assert await collect(brain.pressed("#")) == []  # an answer that says nothing
    assert await collect(brain.pressed("1")) == [Say("Sales."), Say("What?", interruptible=False)]


async def test_keys_in_a_row_need_not_wait_for_what_they_lead_to() -> None:
    brain = ScriptBrain(SCRIPT)
    cut_before_its_first_step = brain.pressed("1")
    brain.heard("", interrupted=True)
    await cut_before_its_first_step.aclose()
    assert await collect(brain.answer("anything")) == [Transfer("ext-queues,400,1")], "of the step that 1 leads to"


async def test_a_turn_of_which_nothing_was_heard_is_taken_back_and_its_words_are_kept() -> None:
    brain = ScriptBrain(SCRIPT)
    await collect(brain.answer("I want to buy"))
    brain.heard("", interrupted=True)
    assert await collect(brain.answer("something")) == [Say("Sales."), Say("What?", interruptible=False)]
    brain.heard("", interrupted=True)
    assert await collect(brain.answer("please")) == [Say("Sales."), Say("What?", interruptible=False)]
    brain.heard("Sales.", interrupted=True)
    assert await collect(brain.answer("anything")) == [Transfer("ext-queues,400,1")]


async def test_answers_from_anywhere() -> None:
    brain = ScriptBrain(SCRIPT)
    assert await collect(brain.answer("goodbye then")) == [Say("Bye."), HangUp()]


async def test_the_default_script_is_the_greeting_and_a_way_out() -> None:
    brain = ScriptBrain(load_script(DEFAULT_SCRIPT), {"greeting": "Welcome."})
    assert await collect(brain.greet()) == [Say("Welcome.")]
    assert await collect(brain.answer("something else")) == []
    assert await collect(brain.pressed("5")) == []
    assert (await collect(brain.pressed("0")))[-1] == Fallback()
    assert await collect(ScriptBrain(load_script(DEFAULT_SCRIPT), {"greeting": ""}).greet()) == []


async def test_every_shipped_script_greets_the_caller() -> None:
    shipped = {path.name: load_script(path) for path in DEFAULT_SCRIPT.parent.glob("*.yaml")}
    assert DEFAULT_SCRIPT.name in shipped
    for script in shipped.values():
        assert await collect(ScriptBrain(script, {"greeting": "Welcome."}).greet())


def test_what_the_documentation_shows_is_valid(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/conversation.md").read_text()
    tools, servers, script = re.findall(r"```yaml\n(.*?)```", page, re.S)
    (tmp_path / "tools.yaml").write_text(tools)
    (tmp_path / "servers.yaml").write_text(servers)
    (tmp_path / "script.yaml").write_text(script)
    assert set(load_tool_servers(tmp_path / "servers.yaml")) == {"calendar", "stock"}
    assert [tool.name for tool in load_tools(tmp_path / "tools.yaml")] == ["opening_hours"]
    assert set(load_script(tmp_path / "script.yaml").steps) == {"start", "support"}
    events = [json.loads(line) for line in re.search(r"```json\n(.*?)```", page, re.S)[1].splitlines()]
    assert [parse(event).type for event in events] == [event["type"] for event in events]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: {a: {}}", "no step 'start'; there are a"),
        ("steps: {start: {answers: [{match: [x], goto: nowhere}]}}", "no step 'nowhere'"),
        ("steps: {start: {answers: [{say: x}]}}", "match or dtmf is needed"),
        ("steps: {start: {answers: [{match: [x], goto: start, hangup: true}]}}", "only one of"),
        ("steps: {start: {sya: x}}", "steps.start.sya"),
        ("steps: [", "while parsing"),
        ("[" * 50_000, "nested too deeply"),
        ("steps: " + "{a: " * 3_000 + "}" * 3_000, "nested too deeply"),
        ("steps: " + "9" * 5_000, "script.yaml: Exceeds the limit"),
        ("steps: 2020-99-99", "script.yaml: month must be"),
        ('steps: "\\ud800"', "script.yaml"),
        ("", "steps: Field required"),
    ],
)
def test_a_wrong_script_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        load_script(path)
    assert len(str(raised.value).splitlines()) == 1
    with pytest.raises(ValueError, match="No such file"):
        load_script(tmp_path / "missing.yaml")


async def test_what_goes_unanswered_again_and_again_is_bounded() -> None:
    brain = ScriptBrain(SCRIPT)
    for _ in range(100):
        await collect(brain.answer("nothing that it knows " * 100))
        brain.heard("", interrupted=True)
    assert len(brain._unanswered) <= MAX_SAID_CHARS
    assert (await collect(brain.answer("sales")))[0] == Say("Sales.")


@pytest.mark.parametrize("turn", ["answer", "silence", "misheard"])
async def test_a_stray_key_is_forgotten_once_the_caller_goes_on_without_keys(turn: str) -> None:
    answers = [{"match": ["sales"], "dtmf": "1", "transfer": "fallback"}, {"match": ["secret"], "dtmf": "42#"}]
    brain = ScriptBrain(Script.model_validate({"steps": {"start": {"answers": answers}}}))
    assert await collect(brain.pressed("4")) == []
    assert brain.awaits_keys
    assert await collect(brain.answer("hm") if turn == "answer" else getattr(brain, turn)()) == []
    assert not brain.awaits_keys, "a fixed key would be taken for the next of them, for ever"
    assert await collect(brain.pressed("1")) == [Fallback()], "the stray key is not the first of these"
