"""`talkspurt serve` as a process: from its first line to its last call, on the embedded voice."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from bridge.line.audiosocket import Kind
from tests.support.fakes import Asterisk

START_TIMEOUT_S = 60


class Server:
    """A running `talkspurt serve` on free ports."""

    def __init__(self, process, port, lines):
        self.process, self.port, self.lines = process, port, lines

    @classmethod
    async def start(cls, **settings):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bridge", "serve"),
            env=os.environ | {"AUDIOSOCKET_PORT": "0", "HTTP_PORT": "0", **settings},
            stderr=asyncio.subprocess.PIPE,
        )
        lines = []
        async with asyncio.timeout(START_TIMEOUT_S):
            while line := (await process.stderr.readline()).decode():
                lines.append(line)
                if ready := re.search(r"audiosocket\W+127\.0\.0\.1:(\d+)", line):
                    return cls(process, int(ready.group(1)), lines)
        await process.wait()
        return cls(process, 0, lines)

    async def stop(self):
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(self.process.communicate(), 30)


@pytest.fixture
async def server():
    server = await Server.start(GREETING="Hello, and welcome.", DRAIN_TIMEOUT="10")
    yield server
    await server.stop()


async def test_sigterm_lets_the_call_in_progress_hear_the_end_and_exits_0(server):
    peer = await Asterisk.connect(server.port)
    peer.send_audio()
    await peer.hear(voiced=True)
    server.process.send_signal(signal.SIGTERM)
    voiced = 0
    while (message := await peer.receive()).kind != Kind.HANGUP:
        voiced += any(message.payload)
    assert voiced > 30, "the greeting goes on to its end"
    with pytest.raises(ConnectionRefusedError):
        await Asterisk.connect(server.port)
    await peer.close()
    assert await asyncio.wait_for(server.process.wait(), 20) == 0


@pytest.mark.parametrize(
    ("number", "told"), [(signal.SIGHUP, "agents read"), (signal.SIGUSR2, "WORKERS=1 has none")], ids=["HUP", "USR2"]
)
async def test_a_signal_that_is_meant_for_other_settings_costs_no_call(server, number, told):
    """`systemctl reload` sends SIGHUP, and a rolling restart SIGUSR2, whatever the settings."""
    peer = await Asterisk.connect(server.port)
    peer.send_audio()
    await peer.hear(voiced=True)
    server.process.send_signal(number)
    async with asyncio.timeout(30):
        while told not in (line := (await server.process.stderr.readline()).decode()):
            assert line, "the server has ended"
    assert (await peer.hear(voiced=True)).kind != Kind.HANGUP
    await peer.close()


async def test_sigterm_without_calls_exits_0_and_leaves_no_process(server):
    await server.stop()
    assert server.process.returncode == 0


@pytest.mark.parametrize("name", ["AUDIOSOCKET_PORT", "HTTP_PORT"])
async def test_a_port_in_use_is_one_line_and_exit_1(name):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = await Server.start(**{name: str(port)})
    assert server.process.returncode == 1
    assert server.lines == [f"cannot start: {name}={port}: address already in use\n"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("AUDIOSOCKET_HOST", "nohost.invalid"), ("HTTP_HOST", "nohost.invalid"), ("RECORD_DIR", "/proc/x")],
)
async def test_what_stops_the_start_is_one_line_with_the_setting(name, value):
    server = await Server.start(**{name: value}, HTTP_WITHOUT_KEY="true")
    assert server.process.returncode == 1
    assert len(server.lines) == 1
    assert server.lines[0].startswith(f"cannot start: {name}={value}: ")


async def test_a_voice_that_is_not_there_stops_the_start():
    server = await Server.start(VOICE="nobody")
    assert server.process.returncode == 1
    assert "VOICE='nobody': must be one of heart" in server.lines[-1]


async def test_json_logs_are_json():
    server = await Server.start(LOG_FORMAT="json")
    server.process.send_signal(signal.SIGTERM)
    _, rest = await asyncio.wait_for(server.process.communicate(), 30)
    events = [json.loads(line)["event"] for line in [*server.lines, *rest.decode().splitlines()]]
    assert events[-1] == "stopped"


def test_neither_torch_nor_a_model_nor_what_several_processes_need_is_loaded_into_the_process_that_keeps_the_clock():
    kept_out = ("torch", "onnxruntime", "hibari", "bridge.workers", "redis", "ray")
    code = f"import sys, bridge.app; print([name for name in {kept_out} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


async def test_a_slow_download_does_not_hold_up_the_end():
    server = await Server.start(DRAIN_TIMEOUT="1")
    port = int(re.search(r"http=http://127\.0\.0\.1:(\d+)", server.lines[-1])[1])
    body = json.dumps({"input": "A sentence that goes on for a while, so that there is plenty to read. " * 50}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    head = f"POST /v1/audio/speech/stream/pcm HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
    await reader.readexactly(2_000)  # and no more
    server.process.send_signal(signal.SIGTERM)
    # aiohttp's own patience is a minute; DRAIN_TIMEOUT is a second
    assert await asyncio.wait_for(server.process.wait(), 20) == 0
    writer.close()
