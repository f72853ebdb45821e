"""What a whole call leaves behind: in log, metrics and traces nothing of it, elsewhere what PRIVACY allows."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from bridge.brains.brain import Transfer
from bridge.brains.destinations import Destinations
from bridge.config import Settings
from bridge.conversation import webhooks
from bridge.conversation.next_destination import NextDestination
from bridge.line.audiosocket import Kind
from bridge.logs import set_up_logs
from bridge.masking import Masker, secrets_of
from tests.bridge.traces.collector import collecting
from tests.support.fakes import Asterisk
from tests.support.llm_server import Answer, LlmServer, ToolCall
from tests.support.serving import serving
from tests.support.whole_app import Bench, whole_app

WORD: Final = "xyzzyplugh"
NUMBER: Final = "+15557654321"
DIGITS: Final = "5557654321"
KEYS: Final = "86420975"
SECRET: Final = "hunter2hunter2"
PRIVACY_KEY: Final = "0123456789abcdef"
COMPLETED: Final = "conversation.item.input_audio_transcription.completed"
CALLER: Final = {"from": NUMBER, "to": "200", "name": f"Ada {WORD}", "vip": DIGITS}
BAD: Final = f"Sorry, {WORD}."


@pytest.fixture(autouse=True)
def root_log() -> Iterator[None]:
    """Leaves the standard library's log as it was."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = handlers, level


class Services:
    """What a call uses beside the server: they repeat what they are sent, and the web-hook keeps it."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.ended = asyncio.Event()
        """Set when the web-hook has been told of the end of a call."""

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        if "hook" in request.path:
            self.told.append(json.loads(text))
            if self.told[-1]["type"] == "call.ended":
                self.ended.set()
            return web.Response(status=404 if "fail" in request.path else 200, text=text)
        return web.Response(text=f"{request.headers['Authorization']} has {WORD}: {text}")


async def call(bench: Bench) -> Asterisk:
    """A whole call: words, tools that there are and are not, an unspeakable sentence, keys, a barge-in, and its end."""
    bench.http.headers["Authorization"] = f"Bearer {SECRET}"
    bench.engine.unspeakable = (BAD,)
    peer = await bench.call(**CALLER)
    await peer.hear(voiced=True)
    event = {"type": COMPLETED, "transcript": f"I am {WORD}, call {NUMBER}.", "item_id": "i1"}
    status, _ = await bench.post(f"/v1/calls/{peer.id}/events", event)
    assert status == 202
    while ("That is all.", "") not in bench.engine.spoken:
        await peer.receive()
    for key in KEYS:
        peer.send(Kind.DTMF, key.encode())
    while bench.call_of(peer).dtmf != KEYS:
        await peer.receive()
    await bench.post(f"/v1/calls/{peer.id}/interrupt", {})
    await bench.ended(peer)
    return peer


def answers() -> tuple[Answer | str, ...]:
    return (
        Answer(BAD, [ToolCall("ask", {"pin": WORD, "number": NUMBER})]),
        Answer("", [ToolCall(WORD, {})]),
        Answer("", [ToolCall("transfer", {"destination": DIGITS})]),
        "That is all.",
        f"You pressed {KEYS}.",
    )


def settings_of(tmp_path: Path, model: LlmServer, url: str, hook: str, **settings: Any) -> dict[str, Any]:
    (tmp_path / "tools.yaml").write_text(
        f"tools: [{{name: ask, description: d, url: '{url}', headers: {{Authorization: 'Bearer {SECRET}'}}}}]"
    )
    return {
        "llm_base_url": model.url.replace("://", f"://user:{SECRET}@"),
        "llm_model": "m",
        "llm_tools": tmp_path / "tools.yaml",
        "greeting": "Hello {name}.",
        "filler": "",
        "transfer_allow": "sales=ext-queues,400,1",
        "api_key": SECRET,
        "webhook_url": f"{url}/{hook}?token={SECRET}",
        "record_dir": tmp_path / "recordings",
        **settings,
    }


@pytest.mark.parametrize("log_format", ["json", "text"])
async def test_log_metrics_and_traces_hold_nothing_of_a_call(
    log_format: Literal["json", "text"],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhooks, "RETRY_S", ())
    services = Services()
    async with collecting() as collector, serving(services.handle) as url, LlmServer(*answers()) as model:
        otel = {"otel_exporter_otlp_endpoint": collector.url, "otel_exporter_otlp_headers": f"api-key={SECRET}"}
        settings = settings_of(tmp_path, model, url, "hook/fail", **otel)
        set_up_logs(log_format, "info", Masker(secrets_of(Settings.of(**settings).values())))
        async with whole_app(**settings) as bench:
            await call(bench)
            async with bench.http.get("/metrics") as response:
                metrics = await response.text()
    lines = capsys.readouterr().err
    for expected in ("tool called", "left out a sentence", "web-hook failed", "call ended", "turn"):
        assert expected in lines, "the call did not do what it is to be watched at"
    assert services.told, "somebody was told of it"
    assert {"call", "chat m", "execute_tool ask", "playing"} <= {span.name for span in collector.spans}
    for place in (lines, metrics, str(collector.bodies)):
        found = [one for one in (WORD, DIGITS, KEYS, SECRET) if one in re.sub(r"[ ().-]", "", place)]
        assert not found


def kept_files(folder: Path) -> dict[str, str]:
    return {path.suffix: path.read_text() for path in folder.iterdir() if path.suffix != ".wav"}


@pytest.mark.parametrize("mode", ["off", "routing", "strict"])
async def test_files_web_hook_and_ended_calls_hold_what_the_mode_says(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "RETRY_S", ())
    services = Services()
    async with serving(services.handle) as url, LlmServer(*answers()) as model:
        settings = settings_of(tmp_path, model, url, "hook", privacy=mode, privacy_key=PRIVACY_KEY)
        async with whole_app(**settings) as bench:
            peer = await call(bench)
            await services.ended.wait()
            ended = json.dumps(await bench.get(f"/v1/calls/{peer.id}"))
            async with bench.http.get(f"/v1/calls/{peer.id}/journal") as response:
                journal = await response.text()
    folder = tmp_path / "recordings"
    files = kept_files(folder)
    assert files[".jsonl"] == journal
    assert files.keys() == ({".jsonl"} if mode == "strict" else {".json", ".jsonl"})
    assert any(path.suffix == ".wav" for path in folder.iterdir()) == (mode != "strict")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    (report,) = [told for told in services.told if told["type"] == "call.ended"]
    assert (report["recording"] is None) == (mode == "strict")
    assert report["journal"] == str(folder / f"{peer.id}.jsonl")
    pressed = [json.loads(line)["digit"] for line in journal.splitlines() if '"type": "dtmf"' in line]
    assert "".join(pressed) == (KEYS if mode == "off" else "?" * len(KEYS))
    for place in (*files.values(), json.dumps(services.told), ended):
        assert (WORD in place) == (mode != "strict")
        assert (DIGITS in place) == (mode == "off")
        if mode == "routing":
            assert len(set(re.findall(r"num_\w+", place))) <= 4, "one hash for each number"
            assert "num_" in place


async def test_whoever_follows_a_call_now_is_told_all(tmp_path: Path) -> None:
    async with whole_app(greeting="Hello.", privacy="strict") as bench:
        peer = await bench.call(**CALLER)
        async with (
            bench.http.ws_connect(f"/v1/calls/{peer.id}/events") as live,
            bench.http.ws_connect(f"/v1/calls/{peer.id}/events?journal=1") as journal,
        ):
            assert (await live.receive_json())["variables"]["from"] == NUMBER
            assert (await journal.receive_json())["variables"] == {}
            peer.send(Kind.DTMF, b"5")
            while (told := await live.receive_json())["type"] != "dtmf":
                pass
            assert told["digit"] == "5"
            while (line := await journal.receive_json())["type"] != "dtmf":
                pass
            assert line["digit"] == "?"
        assert (await bench.get(f"/v1/calls/{peer.id}"))["dtmf"] == "5"
        await bench.ended(peer)
        assert (await bench.get(f"/v1/calls/{peer.id}"))["dtmf"] == "?"


def test_a_transfer_that_is_refused_is_logged_without_its_number() -> None:
    destination = NextDestination(Destinations("sales=ext-queues,400,1"), "", "c1")
    with capture_logs() as lines:
        destination.follow(Transfer(DIGITS))
    told = [line for line in lines if line["log_level"] != "debug"]
    assert [line["event"] for line in told] == ["transfer refused"]
    assert DIGITS not in str(told)
