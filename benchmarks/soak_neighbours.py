"""The neighbours of a soak, each behind a network that falls ill, and a language model that answers at random."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any, Final

import psutil
from aiohttp import web
from yarl import URL

from bridge.converse.told_recogniser import ToldRecogniser
from tests.support.toxic_proxy import ToxicProxy

ANSWERS: Final = (
    "Your parcel is on its way, and it comes tomorrow at noon.",
    "We are open from nine to five. On Saturdays we close at one.",
    "That costs 12 euros and 50 cents. Shall I send it to you?",
    "I see. Please tell me the number that stands on your invoice, and I look it up.",
)
TRANSFER: Final = {"name": "transfer", "arguments": json.dumps({"destination": "sales"})}
HANG_UP: Final = {"name": "hangup", "arguments": "{}"}
ENDS_SHARE: Final = 0.15
"""So many answers end the call, half of them by a transfer."""
TURNS: Final = 12
SILENT_S: Final = 6.0
TOKEN_S: Final = 0.02
ILL_S: Final = (0.2, 4.0)
WELL_S: Final = (3.0, 10.0)


class Neighbours:
    """What `neighbours` gives: the settings by which a server finds them, and what was done to them."""

    def __init__(self, chance: Random) -> None:
        self.faults: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        """What the web-hook was told."""
        self.underruns = 0
        """Frames of silence inside speech that was not made in time, as the web-hook was told."""
        self.words = ""
        """What callers say whose words nobody tells, in turn with silence of SILENT_S."""
        self.words_s = 0.0
        self.recogniser = ToldRecogniser()
        self.settings: dict[str, str] = {}
        self.proxies: dict[str, ToxicProxy] = {}
        """The network before each neighbour."""
        self._chance = chance
        self._asked = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answers as OpenAI's API does."""
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        with suppress(ConnectionError):  # who has asked may be interrupted, or the network reset
            await response.prepare(request)
            await self._say(response)
        return response

    async def _say(self, response: web.StreamResponse) -> None:
        await asyncio.sleep(self._chance.uniform(0.05, 0.6))
        for word in self._chance.choice(ANSWERS).split():
            await _send(response, {"content": f"{word} "})
            await asyncio.sleep(TOKEN_S)
        if self._chance.random() < ENDS_SHARE:
            self._asked += 1
            function = self._chance.choice((TRANSFER, HANG_UP))
            call = {"index": 0, "id": f"c{self._asked}", "type": "function", "function": function}
            await _send(response, {"tool_calls": [call]})
        await response.write(b"data: [DONE]\n\n")

    async def told(self, request: web.Request) -> web.Response:
        """Takes a web-hook."""
        event = await request.json()
        self.events[str(event["type"])] += 1
        if event["type"] == "call.ended":
            self.underruns += event["underrun_frames"]
            self.events[f"call.ended: {'transferred' if event['next'] else event['reason']}"] += 1
        if event["type"] == "call.started" and self.words:
            words, now_s = self.recogniser.call(event["call_id"]), time.monotonic()
            for turn in range(TURNS):
                start_s = now_s + turn * (self.words_s + SILENT_S)
                words.tell(self.words, start_s, start_s + self.words_s)
        return web.Response()

    def connections_of(self, pid: int) -> Counter[str]:
        """Returns how many open connections a process has with each neighbour."""
        names = {proxy.port: name for name, proxy in self.proxies.items()}
        connections = psutil.Process(pid).net_connections("tcp")
        ports = (each.raddr.port for each in connections if each.raddr and each.status == psutil.CONN_ESTABLISHED)
        return Counter(names[port] for port in ports if port in names)

    async def fall_ill(self, server: psutil.Process) -> None:
        """Has one neighbour after the other be ill for a while, until it is cancelled; then all are well."""
        while True:
            await asyncio.sleep(self._chance.uniform(*WELL_S))
            name = self._chance.choice((*self.proxies, "engine"))
            if name == "engine":
                self.faults["engine killed"] += 1
                for child in server.children():
                    with suppress(psutil.Error):
                        child.kill()
                continue
            proxy = self.proxies[name]
            how = self._chance.choice(("reset", "stopped", "late", "slow", "garbled", "sliced", "refuses"))
            self.faults[f"{name} {how}"] += 1
            _make_ill(proxy, how)
            try:
                await asyncio.sleep(self._chance.uniform(*ILL_S))
            finally:
                proxy.heal()


def _make_ill(proxy: ToxicProxy, how: str) -> None:
    match how:
        case "reset":
            proxy.reset()
        case "stopped":
            proxy.up.stopped = proxy.down.stopped = True
        case "late":
            proxy.down.latency_ms, proxy.down.jitter_ms = 400.0, 400.0
        case "slow":
            proxy.up.bandwidth_kb_s = 4.0
        case "garbled":
            proxy.down.garbled = 0.5
        case "sliced":
            proxy.down.slice_bytes = 7
        case "refuses":
            proxy.refuses = True
            proxy.reset()


@asynccontextmanager
async def neighbours(chance: Random) -> AsyncIterator[Neighbours]:
    """Serves a model, a recogniser and a web-hook's receiver, each behind a network of its own."""
    these = Neighbours(chance)
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # it tells every connection that was reset
    app = web.Application()
    app.router.add_post("/v1/chat/completions", these.answer)
    app.router.add_post("/hook", these.told)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        async with (
            these.recogniser,
            ToxicProxy.before("127.0.0.1", port, chance) as model,
            ToxicProxy.before("127.0.0.1", port, chance) as receiver,
            ToxicProxy.before("127.0.0.1", URL(these.recogniser.url).port or 0, chance) as recogniser,
        ):
            these.settings = {
                "LLM_BASE_URL": f"http://127.0.0.1:{model.port}/v1",
                "LLM_MODEL": "random",
                "ASR_PROTOCOL": "qwen3-asr",
                "ASR_URL": f"ws://127.0.0.1:{recogniser.port}",
                "WEBHOOK_URL": f"http://127.0.0.1:{receiver.port}/hook",
                "TRANSFER_ALLOW": "sales=ext-queues,400,1",
            }
            these.proxies = {"model": model, "web-hook's receiver": receiver, "recogniser": recogniser}
            yield these
    finally:
        await runner.cleanup()


async def _send(response: web.StreamResponse, delta: dict[str, Any]) -> None:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
