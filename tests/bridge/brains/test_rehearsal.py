"""After a rehearsal the first answer of a process loads nothing, which would hold the clock of all calls."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.brains import rehearsal

ROOT = Path(__file__).parents[3]
FIRST_ANSWER = """
import asyncio, json, sys, time
from bridge.brains.llm_client import make_llm_client
from bridge.brains.model import Model, ModelOptions
from bridge.brains.rehearsal import rehearse
from tests.support.llm_server import LlmServer

async def main():
    async with LlmServer("Good morning.") as server:
        if sys.argv[1] == "rehearsed":
            await rehearse()
        model = Model(make_llm_client(server.url, "none"), ModelOptions("m"))
        before, until_s = set(sys.modules), asyncio.get_running_loop().time() + 60
        said = [part async for part in model.answer([{"role": "user", "content": "Hello"}], [], until_s)]
        print(json.dumps({"said": "".join(said), "loaded": sorted(set(sys.modules) - before)}))
        await model.close()

asyncio.run(main())
"""


def first_answer(how: str) -> dict[str, object]:
    """What a fresh process said, and which modules it loaded for it."""
    command = [sys.executable, "-c", FIRST_ANSWER, how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=True)
    told: dict[str, object] = json.loads(done.stdout)
    return told


def test_the_first_answer_after_a_rehearsal_loads_nothing() -> None:
    assert first_answer("rehearsed") == {"said": "Good morning.", "loaded": []}


def test_without_one_it_loads_a_good_part_of_the_client() -> None:
    assert "openai.resources.chat" in str(first_answer("not rehearsed")["loaded"])


async def test_a_machine_without_loopback_is_told_of_and_served(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise OSError("there is no loopback")

    monkeypatch.setattr(asyncio, "start_server", refuse)
    await rehearsal.rehearse()
    assert "there is no loopback" in capsys.readouterr().out
