"""Whatever fails, the caller is with somebody again, in seconds: every fault by every way to the server.

With TALKSPURT_FAULTS=docs/freepbx.md the table of what the callers heard is written into that file.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import psutil
import pytest

from bridge.commands.dialplan_folder import install
from bridge.commands.dialplan_options import DialplanOptions, ServerAddress
from bridge.commands.dialplan_text import render, render_client
from tests.support.asterisk.asterisk import Asterisk, free_port
from tests.support.asterisk.relays import Form, OldAsterisk, Relay
from tests.support.asterisk.rtp import L16_WIDEBAND, PCMU
from tests.support.asterisk.signals import is_milliwatt
from tests.support.asterisk.sip import SipCall, dial
from tests.support.asterisk.talkspurt import CallsApi, Talkspurt, running

GREETING = "Thank you for calling. This is the front desk, and we are glad to hear from you today."
ANSWER_S = 20.0
FALLBACK_S = 20.0
"""How long a caller is listened to."""
PATIENCE_S = 10.0
"""A caller who is not with somebody again by then is lost."""
LEFT_S = 0.5
"""For so long after a fault a caller may hear what was under way."""
PLACES = """
[calls](+)
exten => _by.,1,Gosub(${EXTEN:2},s,1)
 same => n,Milliwatt()
"""


@dataclass(frozen=True)
class Way:
    """A form of the dialplan, and the Asterisk that has it."""

    form: Form
    old: bool = False

    @property
    def name(self) -> str:
        return f"{self.form.name.lower()}{'-old' if self.old else ''}"

    def __str__(self) -> str:
        return f"{self.form.value}, {'18 and 20 (stand-in)' if self.old else '22'}"


WAYS = [
    Way(Form.APPLICATION),
    Way(Form.DIAL),
    Way(Form.WIDEBAND),
    Way(Form.WEBSOCKET),
    Way(Form.APPLICATION, old=True),
    Way(Form.DIAL, old=True),
]


@dataclass(frozen=True)
class Heard:
    """What a caller heard after a fault: somebody who spoke, or nobody, and after how many seconds the fallback."""

    words: bool
    after_s: float

    def __str__(self) -> str:
        return f"{'words, then ' if self.words else ''}fallback after {self.after_s:.1f} s"


Row = dict[Way, Heard]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talkspurt]:
    """One for the faults that it outlives. Nobody answers where its language model should be."""
    model = {"LLM_BASE_URL": f"http://127.0.0.1:{free_port()}/v1", "LLM_MODEL": "none"}
    with running(tmp_path_factory.mktemp("talkspurt"), GREETING=GREETING, **model) as running_server:
        yield running_server


@pytest.fixture(scope="module")
def table() -> Iterator[dict[str, Row]]:
    """What callers heard, by fault."""
    cells: dict[str, Row] = {}
    yield cells
    if path := os.environ.get("TALKSPURT_FAULTS"):
        lines = ["| fault | " + " | ".join(map(str, WAYS)) + " |", "|---" * (len(WAYS) + 1) + "|"]
        lines += [
            f"| {fault} | " + " | ".join(str(heard[way]) for way in WAYS) + " |" for fault, heard in cells.items()
        ]
        text = Path(path).read_text()
        begin, end = "<!-- faults -->\n", "<!-- end of faults -->"
        new = re.sub(f"{begin}.*{end}", lambda _: begin + "\n".join(lines) + f"\n{end}", text, flags=re.DOTALL)
        Path(path).write_text(new)


class Paths:
    """The ways to one server, each with a network of its own."""

    def __init__(self, asterisk: Asterisk, networks: list[Relay]) -> None:
        self._asterisk = asterisk
        self._networks = networks

    @classmethod
    @asynccontextmanager
    async def to(cls, asterisk: Asterisk, http_port: int, audiosocket_port: int, refused: bool) -> AsyncIterator[Paths]:
        """With `refused`, nobody listens where the sound is to go; there the old versions are like the new."""
        etc = asterisk.folder / "etc"
        custom = etc / "extensions_custom.conf"
        custom.write_text(PLACES)
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(Relay.before(http_port))
            paths = cls(asterisk, [http])
            for way in WAYS:
                websocket = way.form is Form.WEBSOCKET
                sound_port = http_port if websocket else audiosocket_port
                relay = OldAsterisk(sound_port, way.form) if way.old else Relay(sound_port)
                await stack.enter_async_context(relay.listening())
                paths._networks.append(relay)
                port = free_port() if refused else relay.port
                options = DialplanOptions(
                    [ServerAddress("127.0.0.1", http.port, port)],
                    asterisk=(22, 10),
                    wideband=way.form is Form.WIDEBAND,
                    application=way.form is Form.APPLICATION,
                    websocket=websocket,
                    context=way.name,
                )
                client = render_client(replace(options, servers=[ServerAddress("127.0.0.1", port, port)]))
                install(etc, way.name, render(options, ""), "", client if websocket else "")
            asterisk.cli("dialplan reload")
            asterisk.cli("module reload res_websocket_client.so")
            yield paths
        custom.unlink()

    def cut(self) -> None:
        """Lets nothing pass any more."""
        for network in self._networks:
            network.gone = True

    async def occupy(self, stack: AsyncExitStack) -> None:
        """Places a call that lasts."""
        call = await stack.enter_async_context(dial(self._asterisk.sip_address, f"by{WAYS[1].name}"))
        await call.until_voice(ANSWER_S)

    async def call(self, way: Way, fault: asyncio.Event | None, in_call: Callable[[], None], left_s: float) -> Heard:
        """Places a call, and tells what its caller hears after the fault, which is at the call where it is None."""
        codec = L16_WIDEBAND if way.form is Form.WIDEBAND else PCMU
        from_s = time.monotonic()
        async with dial(self._asterisk.sip_address, f"by{way.name}", codec) as call:
            if fault is not None:
                await call.until_voice(ANSWER_S)
                in_call()
                await fault.wait()
                from_s = time.monotonic()
            so_far = len(call.packets)
            await call.until(lambda: hears_tone(call), FALLBACK_S)
            after_s = time.monotonic() - from_s
            return Heard(speaks(call, so_far, from_s + left_s), after_s)


def hears_tone(call: SipCall) -> bool:
    """Tells whether the fallback, a tone, is heard."""
    return is_milliwatt(call.heard(call.packets[-10:]).pcm, call.codec.rate_hz)


def speaks(call: SipCall, so_far: int, from_s: float) -> bool:
    """Tells whether somebody speaks in what was heard before the tone and after this time."""
    heard = [packet for packet in call.packets[so_far:] if packet.arrival_s > from_s]
    pieces = [heard[start : start + 10] for start in range(0, len(heard) - 9, 10)]
    spoken = [
        piece
        for piece in pieces
        if sum(packet.is_voiced for packet in piece) > 5 and not is_milliwatt(call.heard(piece).pcm, call.codec.rate_hz)
    ]
    return len(spoken) > 2


async def calls_meet(
    asterisk: Asterisk,
    server: Talkspurt,
    fault: Callable[[Paths], Awaitable[None]],
    *,
    before: bool = False,
    refused: bool = False,
    left_s: float = LEFT_S,
) -> Row:
    """Places a call by each way, has the fault happen (`before`: before the calls), and tells what the callers hear."""
    http_port = int(server.url.rpartition(":")[2])
    async with Paths.to(asterisk, http_port, server.audiosocket_port, refused) as paths:
        happened, talking, all_talk = asyncio.Event(), set[Way](), asyncio.Event()
        if before:
            await fault(paths)

        def talks(way: Way) -> None:
            talking.add(way)
            if len(talking) == len(WAYS):
                all_talk.set()

        async with asyncio.TaskGroup() as group:
            tasks = {
                way: group.create_task(
                    paths.call(way, None if before else happened, lambda way=way: talks(way), left_s)
                )
                for way in WAYS
            }
            if not before:
                await asyncio.wait_for(all_talk.wait(), ANSWER_S)
                happened.set()
                await fault(paths)
        return {way: task.result() for way, task in tasks.items()}


def lost(row: Row) -> list[str]:
    """The ways by which callers were with nobody for too long."""
    return [f"{way}: {heard}" for way, heard in row.items() if heard.after_s > PATIENCE_S]


def untold(row: Row) -> list[str]:
    """The ways by which callers heard nobody speak before the fallback."""
    return [f"{way}: {heard}" for way, heard in row.items() if not heard.words]


async def test_server_killed(asterisk: Asterisk, tmp_path: Path, table: dict[str, Row]) -> None:
    async def kill(paths: Paths) -> None:
        server.kill()

    with running(tmp_path, GREETING=GREETING) as server:
        row = table["server killed"] = await calls_meet(asterisk, server, kill)
        assert not lost(row)


async def test_server_restarted(asterisk: Asterisk, tmp_path: Path, table: dict[str, Row]) -> None:
    async def restart(paths: Paths) -> None:
        server.kill()
        again = await asyncio.to_thread(stack.enter_context, running(tmp_path, **ports, GREETING=GREETING))
        assert again.url

    ports = {"HTTP_PORT": str(free_port()), "AUDIOSOCKET_PORT": str(free_port())}
    with ExitStack() as stack, running(tmp_path, **ports, GREETING=GREETING) as server:
        row = table["server killed and started again"] = await calls_meet(asterisk, server, restart)
        assert not lost(row)


async def test_server_hung(asterisk: Asterisk, server: Talkspurt, table: dict[str, Row]) -> None:
    async def stop(paths: Paths) -> None:
        os.kill(server.process.pid, signal.SIGSTOP)

    try:
        row = table["server hung"] = await calls_meet(asterisk, server, stop)
        assert not lost(row)
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


async def test_network_gone(asterisk: Asterisk, server: Talkspurt, table: dict[str, Row]) -> None:
    async def cut(paths: Paths) -> None:
        paths.cut()

    row = table["network gone"] = await calls_meet(asterisk, server, cut)
    assert not lost(row)


async def nothing(paths: Paths) -> None:
    """The fault is there from the start."""


async def test_server_full(asterisk: Asterisk, tmp_path: Path, table: dict[str, Row]) -> None:
    with running(tmp_path, GREETING=GREETING, MAX_CALLS="1") as server:
        async with AsyncExitStack() as stack:
            row = table["server full"] = await calls_meet(
                asterisk, server, lambda paths: paths.occupy(stack), before=True
            )
            assert not lost(row)


async def test_connection_refused(asterisk: Asterisk, server: Talkspurt, table: dict[str, Row]) -> None:
    row = table["AudioSocket or WebSocket refused"] = await calls_meet(
        asterisk, server, nothing, before=True, refused=True
    )
    assert not lost(row)


async def test_recogniser_dead(asterisk: Asterisk, tmp_path: Path, table: dict[str, Row]) -> None:
    """What is heard once the recogniser has been given up is the apology: the greeting is over by then."""
    nobody = f"ws://127.0.0.1:{free_port()}"
    with running(tmp_path, GREETING="Hello.", ASR_URL=nobody, ASR_TIMEOUT_MS="2000") as server:
        row = await calls_meet(asterisk, server, nothing, before=True, left_s=2.0)
    table["recogniser dead (`ASR_TIMEOUT_MS=2000`)"] = row
    assert not lost(row)
    assert not untold(row)


async def test_model_dead(asterisk: Asterisk, server: Talkspurt, table: dict[str, Row]) -> None:
    async def say_something(paths: Paths) -> None:
        event = {"type": "conversation.item.input_audio_transcription.completed", "transcript": "What time is it?"}
        async with aiohttp.ClientSession(server.url) as http:
            for call_id in await CallsApi(http).active():
                async with http.post(f"/v1/calls/{call_id}/events", json=event) as response:
                    assert response.ok

    row = table["language model dead"] = await calls_meet(asterisk, server, say_something)
    assert not lost(row)
    assert not untold(row)


async def test_engine_dead(asterisk: Asterisk, server: Talkspurt, table: dict[str, Row]) -> None:
    """It is started anew, and the agent speaks on; then the agent sends its callers to the fallback.

    A call whose goodbye was given to the engine before its death was noticed goes there after the apology. The calls
    are silenced before the engine dies, because whoever interrupts an apology hears none.
    """
    goodbye, sent_on = "I am back, and send you on to somebody who can help.", list[str]()

    async def kill_and_say(paths: Paths) -> None:
        async with aiohttp.ClientSession(server.url) as http:
            call_ids = await CallsApi(http).active()
            for call_id in call_ids:
                async with http.post(f"/v1/calls/{call_id}/interrupt") as response:
                    assert response.status == 200
            for worker in psutil.Process(server.process.pid).children(recursive=True):
                worker.kill()
            for call_id in call_ids:
                async with http.post(f"/v1/calls/{call_id}/hangup", json={"text": goodbye, "next": ""}) as response:
                    assert response.status in (202, 409)
                    if response.status == 202:
                        sent_on.append(call_id)

    row = table["engine dead"] = await calls_meet(asterisk, server, kill_and_say)
    assert not lost(row)
    assert not untold(row)
    assert sent_on
    async with aiohttp.ClientSession(server.url) as http:
        transcripts = [(await CallsApi(http).call(call_id))["conversation"]["transcript"] for call_id in sent_on]
    assert goodbye in [transcript[-1]["text"] for transcript in transcripts if transcript[-1]["who"] == "agent"]
