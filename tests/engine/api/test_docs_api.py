"""What docs/api.md shows works as it stands there."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import soundfile

from engine.encode import FORMATS
from engine.settings import SpeechSettings, VoiceSettings
from engine.speech import Style
from engine.web.errors import Code
from tests.support.speech_server import speech_server
from tests.support.tone_engine import RATE_HZ, ToneEngine, sound_of

PAGE = (Path(__file__).parents[3] / "docs/api.md").read_text("utf-8")
HOST = "http://localhost:8000"


def blocks(kind):
    return re.findall(rf"^```{kind}[^\n]*\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


CURLS = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("curl ")]
PROGRAMS = blocks("python")


@pytest.fixture
async def server(tmp_path):
    soundfile.write(tmp_path / "reference.wav", sound_of("A recording that is long enough. " * 3, Style()), RATE_HZ)
    async with speech_server(ToneEngine(), tmp_path / "voices") as running:
        yield running


async def run(server, folder, program, *arguments):
    process = await asyncio.create_subprocess_exec(
        program,
        *(argument.replace(HOST, server.url) for argument in arguments),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, output, errors.decode()


async def test_every_curl_line_works(server, tmp_path):
    if shutil.which("curl") is None:
        reason = "curl is not installed"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    assert len(CURLS) >= 15
    for line in CURLS:
        (tmp_path / "output").unlink(missing_ok=True)
        code, output, errors = await run(server, tmp_path, "curl", "-sS", "--fail-with-body", *shlex.split(line)[1:])
        assert code == 0, (line, output, errors)
        saved = re.search(r" -o (\S+)$", line)
        assert (tmp_path / saved[1]).stat().st_size > 1_000 if saved else output
    assert await served(server) == set()


async def served(server):
    """Operations that no curl line has called."""
    document = (await server.get("/openapi.json")).json()
    called = set()
    for line in CURLS:
        url = next(part for part in shlex.split(line) if part.startswith(HOST))
        method = "delete" if "-X DELETE" in line else "post" if re.search(r" (-d|-F|-X POST)", line) else "get"
        called.add((method, url.removeprefix(HOST)))
    operations = {(method, path) for path, methods in document["paths"].items() for method in methods}
    return {
        (method, path)
        for method, path in operations
        if not any(method == by and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), url) for by, url in called)
    }


@pytest.mark.parametrize("program", PROGRAMS, ids=["openai", "socket"])
async def test_every_program_works(server, tmp_path, program):
    code, output, errors = await run(server, tmp_path, sys.executable, "-c", program.replace(HOST, server.url))
    assert code == 0, errors
    files = [path for path in tmp_path.glob("speech.*") if path.stat().st_size > 1_000]
    assert len(files) == 1
    assert b"error" not in output


def test_every_setting_is_there_with_its_default():
    rows = "\n".join(re.findall(r"^\| `[A-Z].*$", PAGE, re.MULTILINE))
    for name, field in (SpeechSettings.model_fields | VoiceSettings.model_fields).items():
        assert f"`{name.upper()}`" in rows
        default = field.default
        if isinstance(default, int | float) and not isinstance(default, bool):
            row = next(line for line in rows.splitlines() if f"`{name.upper()}`" in line)
            assert re.search(rf"\b{default:g}\b|\b{int(default)}\b", row), (name, default)


def test_every_format_and_every_error_is_there():
    for name in FORMATS:
        assert f"`{name}`" in PAGE
        assert FORMATS[name].media_type in PAGE
    for code in Code.__args__:
        assert f"`{code}`" in PAGE
