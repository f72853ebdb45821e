"""A server that runs as a child process of the demo."""

import asyncio
import os

import pytest

from bridge.converse.server_process import CannotServe, running_server
from bridge.dial.caller import Caller, CannotCall


async def test_a_server_runs_and_ends_whatever_the_surroundings_say(monkeypatch, tmp_path):
    monkeypatch.setenv("MAX_CALLS", "not a number")
    (tmp_path / ".env").write_text("HTTP_PORT=not a number\n")
    monkeypatch.chdir(tmp_path)
    async with running_server(ENGINE="hibari", GREETING="Hello.") as server:
        caller = Caller()
        await caller.connect(server.host, server.port)
        assert await asyncio.wait_for(caller.voice(0.0), 10) > caller.dialled_s
        caller.hang_up()
        await caller.ended.wait()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)
    with pytest.raises(CannotCall):
        await Caller().connect(server.host, server.port)


async def test_a_server_that_does_not_start_is_told_in_its_own_words():
    with pytest.raises(CannotServe, match="MAX_CALLS='0'"):
        async with running_server(MAX_CALLS="0"):
            pass
