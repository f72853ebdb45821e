"""WYOMING_PORT: a third door of `serve`."""

from __future__ import annotations

import asyncio
import re
import wave
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from wyoming.audio import AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.tts import Synthesize

from tests.support.fakes import LETTER_SAMPLES
from tests.support.whole_app import whole_app

PAGE = Path(__file__).parents[3] / "docs/home-assistant.md"


async def test_wyoming_port_opens_a_third_door_that_closes_with_the_others():
    with capture_logs() as logged:
        async with whole_app(wyoming_port=0) as bench:
            port = bench.app.wyoming.port
            async with AsyncTcpClient("127.0.0.1", port, read_timeout=10) as client:
                await client.write_event(Synthesize("Hello.").event())
                while not AudioStop.is_type((await client.read_event()).type):
                    pass
            assert bench.engine.spoken == [("Hello.", "one")]
            assert (await bench.get("/health"))["status"] == "ok"
    with pytest.raises(ConnectionRefusedError):
        await AsyncTcpClient("127.0.0.1", port).connect()
    assert {"event": "serving Wyoming", "address": f"127.0.0.1:{port}", "log_level": "info"} in logged


async def test_without_the_setting_there_is_no_door():
    async with whole_app() as bench:
        assert bench.app.wyoming is None


async def test_a_port_in_use_is_told_by_its_setting():
    async with whole_app(wyoming_port=0) as bench:
        port = bench.app.wyoming.port
        with pytest.raises(OSError, match=f"WYOMING_PORT={port}: address already in use"):
            async with whole_app(wyoming_port=port):
                pass


async def test_the_program_on_the_page_speaks_into_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    async with whole_app(wyoming_port=0) as bench:
        program = program.replace("10200", str(bench.app.wyoming.port)).replace("heart-en", "one-en")
        await asyncio.to_thread(exec, program, {})
    with wave.open("hello.wav") as file:
        assert (file.getframerate(), file.getnchannels()) == (24_000, 1)
        assert file.getnframes() == len("Hello there.") * LETTER_SAMPLES
