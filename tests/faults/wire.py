"""Faults that need a real network: a call over TCP, each neighbour behind a toxic proxy, all calls at the same time."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, Literal

import aiohttp
from yarl import URL

from bridge.app import App
from bridge.config import Settings
from tests.faults.ear import TEXTS, Heard
from tests.faults.expired_certificate import make_expired_certificate
from tests.faults.fault import Outcome
from tests.faults.repeatable_engine import RepeatableEngine
from tests.support.certificate import make_certificate
from tests.support.fakes import Asterisk
from tests.support.llm_server import Answer, LlmServer
from tests.support.toxic_proxy import ToxicProxy

SPEED: Final = 50.0
CALL_S: Final = 60.0
QUESTION: Final = {"type": "conversation.item.input_audio_transcription.completed", "transcript": "Where is it?"}
SETTINGS: Final[dict[str, Any]] = {
    "audiosocket_port": 0,
    "http_port": 0,
    "drain_timeout": 0,
    "greeting": TEXTS["the greeting"],
    "apology": TEXTS["the apology"],
    "voice_language": "en",
    "llm_model": "m",
    "llm_timeout_ms": 5_000,
    "filler": "",
}


@dataclass(slots=True)
class Bench:
    """One call's neighbours."""

    model: ToxicProxy
    line: ToxicProxy


@dataclass(frozen=True, slots=True, eq=False)
class WireFault:
    """A fault of a real network or of a real machine."""

    neighbour: str
    name: str
    outcome: Outcome
    begin: Callable[[Bench], object]
    in_answer: bool = False
    """Begins while the answer is heard, and not before the question."""
    token_s: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)
    certificate: Literal["", "good", "expired"] = ""
    """What the model shows where it speaks TLS; both are trusted but for their age."""


@dataclass(frozen=True, slots=True)
class WireSeen:
    """What came of it."""

    heard: tuple[str, ...]
    outcome: Outcome


def _set(which: str, **toxics: Any) -> Callable[[Bench], object]:
    """Returns what sets toxics of both directions of a way."""

    def begin(bench: Bench) -> None:
        proxy: ToxicProxy = getattr(bench, which)
        for name, value in toxics.items():
            setattr(proxy.up, name, value)
            setattr(proxy.down, name, value)

    return begin


def _stop_for(seconds: float) -> Callable[[Bench], object]:
    def begin(bench: Bench) -> None:
        bench.line.up.stopped = bench.line.down.stopped = True
        asyncio.get_running_loop().call_later(seconds, bench.line.heal)

    return begin


def _refuse(bench: Bench) -> None:
    bench.model.refuses = True


TRUSTED: Final = "trusted.pem"
NOBODY: Final = "http://model.invalid/v1"
WIRE: Final = [
    WireFault("model", "every piece 50 to 150 ms late", Outcome.GOES_ON, _set("model", latency_ms=50, jitter_ms=100)),
    WireFault("model", "in pieces of 50 bytes", Outcome.GOES_ON, _set("model", slice_bytes=50, slice_pause_ms=0.0)),
    WireFault("model", "2 kilobytes a second", Outcome.GOES_ON, _set("model", bandwidth_kb_s=2.0)),
    WireFault("model", "connections refused", Outcome.HUMAN, _refuse),
    WireFault("model", "half-open: nothing comes, nothing ends", Outcome.HUMAN, _set("model", stopped=True)),
    WireFault("model", "every piece garbled", Outcome.HUMAN, _set("model", garbled=1.0)),
    WireFault("model", "every connection ends after 200 bytes", Outcome.HUMAN, _set("model", limit_bytes=200)),
    WireFault("model", "none, over TLS", Outcome.GOES_ON, lambda bench: None, certificate="good"),
    WireFault("model", "its certificate has expired", Outcome.HUMAN, lambda bench: None, certificate="expired"),
    WireFault("model", "its name is not known", Outcome.HUMAN, lambda bench: None, settings={"llm_base_url": NOBODY}),
    WireFault("Asterisk", "in pieces of 7 bytes", Outcome.GOES_ON, _set("line", slice_bytes=7, slice_pause_ms=0.0)),
    WireFault(
        "Asterisk", "half-open for 1 s while it hears the answer", Outcome.GOES_ON, _stop_for(1.0), in_answer=True
    ),
    WireFault("Asterisk", "reset", Outcome.LINE_LOST, lambda bench: bench.line.reset(), in_answer=True),
]


async def try_all(folder: Path) -> dict[WireFault, WireSeen]:
    """Tries all of them at once, each with an application of its own."""
    certificates = {"expired": make_expired_certificate(folder), "good": make_certificate(folder)}
    (folder / TRUSTED).write_text("".join(certificate.read_text() for certificate, _ in certificates.values()))
    seen = await asyncio.gather(*(_try(fault, certificates) for fault in WIRE))
    return dict(zip(WIRE, seen, strict=True))


async def _try(fault: WireFault, certificates: dict[str, tuple[Path, Path]]) -> WireSeen:
    async with AsyncExitStack() as stack:
        answers = [Answer(TEXTS["the answer"], token_s=fault.token_s)] * 8
        model = await stack.enter_async_context(
            LlmServer(*answers, tls=_tls(*certificates[fault.certificate]) if fault.certificate else None)
        )
        port = URL(model.url).port
        assert port is not None
        to_model = await stack.enter_async_context(ToxicProxy.before("127.0.0.1", port, Random(1)))
        scheme = "https" if fault.certificate else "http"
        settings = {**SETTINGS, "llm_base_url": f"{scheme}://localhost:{to_model.port}/v1", **fault.settings}
        engine = RepeatableEngine(8, SPEED)
        app = App(Settings.of(**settings), engine)
        await app.start()
        stack.push_async_callback(app.stop)
        apology = frozenset(engine.words)
        to_us = await stack.enter_async_context(ToxicProxy.before("127.0.0.1", app.audiosocket_port))
        http = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{app.http_port}"))
        return await _call(fault, Bench(to_model, to_us), app, http, engine, apology)


async def _call(
    fault: WireFault,
    bench: Bench,
    app: App,
    http: aiohttp.ClientSession,
    engine: RepeatableEngine,
    apology: frozenset[int],
) -> WireSeen:
    peer = await Asterisk.connect(bench.line.port)
    frames: list[tuple[float, bytes]] = []
    ended = asyncio.Event()
    hung_up = False

    async def listen() -> None:
        nonlocal hung_up
        try:
            while (message := await peer.receive()) is not None:
                if message.kind == 0:
                    hung_up = True
                elif message.payload:
                    frames.append((time.monotonic(), message.payload))
        except ConnectionError:
            pass
        ended.set()

    def heard() -> Heard:
        return Heard.of(frames, engine.words, apology)

    def whole(name: str) -> Callable[[], bool]:
        return lambda: any(line.name == name and line.whole for line in heard().lines)

    peer.send_audio()
    listening = asyncio.create_task(listen())
    await _until(whole("the greeting"), ended)
    if not fault.in_answer:
        fault.begin(bench)
    async with http.post(f"/v1/calls/{peer.id}/events", json=QUESTION) as response:
        assert response.ok
    if fault.in_answer:
        await _until(lambda: heard().said("the answer") is not None, ended)
        fault.begin(bench)
    await _until(whole("the answer"), ended)
    talk = app.calls.find(peer.id)
    outcome = Outcome.GOES_ON
    if hung_up and talk is not None and str(talk.next) == "":
        outcome = Outcome.HUMAN
    elif ended.is_set():
        outcome = Outcome.LINE_LOST
    await peer.close()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    return WireSeen(tuple(str(line) for line in heard().lines), outcome)


async def _until(condition: Callable[[], bool], ended: asyncio.Event) -> None:
    """Waits until something is so, or the call is over."""
    async with asyncio.timeout(CALL_S):
        while not condition() and not ended.is_set():  # noqa: ASYNC110 - frames come every 20 ms
            await asyncio.sleep(0.1)


def _tls(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
