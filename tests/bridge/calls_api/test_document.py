"""The calls API's part of the OpenAPI document is true and complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.line.call_limit import CallLimit
from tests.support.documented import schemathesis
from tests.support.whole_app import Bench, whole_app

CONFIG = Path(__file__).with_name("schemathesis.toml")


async def test_schemathesis_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine frames are late, and then no calls are taken.
    monkeypatch.setattr(CallLimit, "is_reached", lambda limit, calls: False)
    async with whole_app(transfer_allow="sales=ext-queues,400,1") as bench:
        peers = [await bench.call() for _ in range(20)]
        calls = " ".join([*(str(peer.id) for peer in peers), "none", "none", "none", "none"])
        only = ("--include-path-regex", "^/v1/calls")
        code, output = await schemathesis(bench.url, CONFIG, *only, TALKSPURT_CALLS=calls)
        assert code == 0, output[-6_000:]
        assert "12 selected" in output
        for peer in peers:
            await peer.close()


async def test_every_route_is_in_the_document(bench: Bench) -> None:
    document = await bench.get("/openapi.json")
    assert bench.app._http is not None
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in bench.app._http.app.router.routes()
        if route.method != "HEAD" and route.resource is not None and route.resource.canonical.startswith("/v1/calls")
    }
    told = {(method, path) for path, methods in document["paths"].items() for method in methods if "/calls" in path}
    assert served == told


async def test_the_page_shows_every_operation(bench: Bench) -> None:
    paths = (await bench.get("/openapi.json"))["paths"]
    async with bench.http.get("/docs") as response:
        assert response.status == 200
        page = await response.text()
    for path in paths:
        assert f"<code>{path}</code>" in page
    assert "list of <code>conversation.item.input_audio_transcription.completed</code> or" in page
