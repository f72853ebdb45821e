"""`talkspurt converse` with real calls: some of our own scenarios, and ones that fail, improvise, or call elsewhere."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bridge.__main__ import main
from bridge.converse.server_process import running_server
from tests.support.llm_server import Answer, LlmServer

SCENARIOS = Path(__file__).parents[2] / "scenarios"
OURS = {
    "questions": "question, German accent", "barge_in": "barge-in after 1000 ms", "noises": "cough",
    "noise": "music at 10 dB", "patience": "a slow model", "keys": "a key interrupts", "tools": "two tools",
}  # fmt: skip
"""The scenarios that every run of the tests tries, by file; `make scenarios` tries all."""


async def converse(*arguments: str) -> tuple[int, str]:
    """Exit status and output of the command, in a process of its own as users have it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "converse", *arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output = (await process.communicate())[0].decode()
    assert process.returncode is not None
    return process.returncode, output


def write(folder: Path, text: str) -> str:
    path = folder / "one.yaml"
    path.write_text(text)
    return str(path)


async def test_some_of_our_own_scenarios_pass(tmp_path: Path) -> None:
    chosen = tmp_path / "some.yaml"
    documents = {name: (SCENARIOS / f"{name}.yaml").read_text().split("---\n") for name in OURS}
    found = [next(d for d in documents[file] if f"name: {name}\n" in d) for file, name in OURS.items()]
    chosen.write_text("---\n".join(found))
    status, output = await converse(str(chosen), "--output", str(tmp_path), "--calls", "4")
    assert status == 0, output
    assert f"{len(OURS)} of {len(OURS)} scenarios pass" in output
    told = json.loads((tmp_path / "barge-in-after-1000-ms.json").read_text())
    assert told["passed"]
    assert [act["text"] for act in told["caller"]] == ["When do you open?", "Stop, please."]
    assert "response.interrupted" in [event["type"] for event in told["events"]]
    assert (tmp_path / "barge-in-after-1000-ms.wav").stat().st_size > 5 * 8_000 * 4
    assert Image.open(tmp_path / "barge-in-after-1000-ms.png").width > 1_000


async def test_a_failure_counts_unless_it_is_expected(tmp_path: Path) -> None:
    failing = "caller: [{say: When do you open, answered_within_ms: 1}]\n"
    text = f"name: known\nexpected_failure: Nobody is so fast.\n{failing}---\nname: new\n{failing}"
    status, output = await converse(write(tmp_path, text), "--output", str(tmp_path))
    assert status == 1, output
    assert "fails, as expected: known (Nobody is so fast.)" in output


async def test_another_server_is_called_as_it_is(tmp_path: Path) -> None:
    text = "caller: [{hang_up: true}]\nexpect: {agent_says: [tower], agent_is_heard_to_say: [tower]}\n"
    async with running_server(ENGINE="hibari", GREETING="The tower is closed today.") as server:
        there = ["--server", f"{server.host}:{server.port}", "--output", str(tmp_path)]
        path = write(tmp_path, text)
        heard, told = await asyncio.gather(converse(path, *there), converse(path, *there, "--http", server.http_url))
    assert (heard[0], told[0]) == (0, 0), (heard, told)
    assert "not measured" in heard[1], "the words that the server said are known only over HTTP"
    assert "not measured" not in told[1]


async def test_a_language_model_may_play_the_caller(tmp_path: Path) -> None:
    def respond(messages: list[dict[str, Any]]) -> Answer:
        return Answer("When do you open?" if len(messages) == 2 else "HANG UP")

    text = (
        "answers: [{heard: open, say: At nine.}]\ncaller: [{improvise: You want to know when they open.}]\n"
        "expect: {agent_says: [At nine], caller_is_understood: [When do you open], ended_by: caller}\n"
    )
    async with LlmServer(respond=respond) as model:
        arguments = ["--output", str(tmp_path), "--caller-model", model.url, "m"]
        status, output = await converse(write(tmp_path, text), *arguments)
    assert status == 0, output
    assert "You want to know when they open." in model.requests[0]["messages"][0]["content"]
    assert model.requests[1]["messages"][-1]["content"] == "At nine."


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("caller: [{shout: Hi}]\n", [], "one.yaml:1: caller.0.shout: there is no such name; there are say,"),
        ("caller: [{say: Hi}]\n", ["--only", "pony"], "no scenario has 'pony' in its name"),
        ("caller: [{say: Hi}]\n", ["--calls", "0"], "--calls 0: must be at least 1"),
        ("caller: [{say: Hi}]\n", ["--server", "here:port"], "--server here:port: must be host:port"),
        ("caller: [{say: Hi}]\n", ["--http", "http://here"], "--http needs --server"),
    ],
)
def test_what_is_wrong_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, options: list[str], said: str
) -> None:
    assert main(["converse", write(tmp_path, text), "--output", str(tmp_path), *options]) == 2
    assert said in capsys.readouterr().err
