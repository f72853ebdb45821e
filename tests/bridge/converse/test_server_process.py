"""A server that runs as a child process of the demo."""

import asyncio
import json
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
        assert await asyncio.wait_for(caller.voice(0.0), 30) > caller.dialled_s
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


async def test_a_server_of_a_module_that_only_this_process_finds(monkeypatch, tmp_path):
    ready = {"event": "ready", "audiosocket": "127.0.0.1:9092", "http": "http://127.0.0.1:8000"}
    (tmp_path / "another_server.py").write_text(
        f"import signal, sys\nprint({json.dumps(ready)!r}, file=sys.stderr, flush=True)\nsignal.pause()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    async with running_server(module="another_server") as server:
        assert (server.host, server.port, server.http_url) == ("127.0.0.1", 9092, "http://127.0.0.1:8000")
