"""The examples of the calls API in docs/conversation.md work as they stand there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.fakes import Asterisk
from tests.support.whole_app import whole_app

PAGE = (Path(__file__).parents[3] / "docs/conversation.md").read_text("utf-8")
HOST = "http://localhost:8000"


def block(kind: str, holding: str) -> str:
    """Returns the one block of this kind that holds this text."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (found,) = [text for text in blocks if holding in text]
    return str(found)


async def test_every_curl_line_works() -> None:
    if shutil.which("curl") is None:
        reason = "curl is not installed"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    name, *lines = block("sh", "/v1/calls").splitlines()
    assert len(lines) == 10
    async with whole_app(transfer_allow="sales=ext-queues,400,1") as bench:
        peer: Asterisk | None = None
        answers: dict[str, str] = {}
        for line in lines:
            line = line.replace(HOST, bench.url).replace("curl ", "curl -sS --fail-with-body ", 1)
            process = await asyncio.create_subprocess_shell(
                f"{name}; {line}",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            output, errors = await process.communicate(b"Hello there. How are you?")
            assert process.returncode == 0, (line, output, errors)
            answers[line.partition(bench.url)[2].partition(" ")[0]] = output.decode()
            if peer is None:
                peer = await bench.call_named(name.removeprefix("ID="))
            if "One moment" in line:
                await peer.hear(voiced=True)
            if "text/plain" in line:
                while len(bench.engine.spoken) < 3:
                    await peer.receive()
        assert json.loads(answers["/v1/calls/$ID"])["conversation"]["variables"]["name"] == "Ada"
        assert "interrupted" in json.loads(answers["/v1/calls/$ID/interrupt"])
        assert answers["/v1/calls/$ID/next"] == "ext-queues,400,1"
        assert [text.strip() for text, _ in bench.engine.spoken][:3] == [
            "One moment, please.",
            "Hello there.",
            "How are you?",
        ]
        assert peer is not None
        await peer.close()


async def test_the_program_shows_the_events() -> None:
    program = block("python", "ws_connect")
    async with whole_app() as bench:
        peer = await bench.call()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program.replace(HOST, bench.url), str(peer.id)), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert json.loads(await process.stdout.readline())["type"] == "call.started"
        await bench.ended(peer)
        assert json.loads(await process.stdout.readline())["type"] == "call.ended"
        assert await process.wait() == 0
