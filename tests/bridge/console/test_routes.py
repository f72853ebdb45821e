"""The console over HTTP: its login, what its cookie is good for, and recorded calls by pages and ranges."""

from __future__ import annotations

import wave
from uuid import uuid4

import pytest

from bridge.config import WrongSetting, load_settings
from bridge.console import routes
from tests.bridge.console.test_recorded_calls import record
from tests.support.whole_app import whole_app

KEY = "the key of the tests"


@pytest.fixture
async def bench(tmp_path):
    async with whole_app(console=True, api_key=KEY, record_dir=tmp_path) as bench:
        yield bench


async def log_in(bench, **headers):
    async with bench.http.post("/console/login", json={"key": KEY}, headers=headers) as response:
        assert response.status == 204
        cookie = response.headers["Set-Cookie"]
    bench.http.headers["Cookie"] = cookie.partition(";")[0]  # the client keeps no cookies of an address
    return cookie


async def test_it_is_off_by_default():
    async with whole_app(api_key=KEY) as bench:
        bearer = {"Authorization": f"Bearer {KEY}"}
        for path in ("/console", "/console/recorded", "/console/static/main.js"):
            assert (await bench.http.get(path)).status == 401
            assert (await bench.http.get(path, headers=bearer)).status == 404


def test_it_needs_a_key(monkeypatch, tmp_path):
    monkeypatch.setenv("CONSOLE", "true")
    with pytest.raises(WrongSetting, match="CONSOLE=true: must be false unless API_KEY is set"):
        load_settings(tmp_path / "none.env")
    monkeypatch.setenv("API_KEY", KEY)
    assert load_settings(tmp_path / "none.env").server.console


async def test_nothing_of_a_call_is_shown_before_the_login(bench, tmp_path):
    name = record(tmp_path, "5550100")
    for path in ("", f"/{name}", f"/{name}/journal", f"/{name}/peaks", f"/{name}/sound"):
        assert (await bench.http.get(f"/console/recorded{path}")).status == 401
    assert (await bench.http.post("/console/login", json={"key": "wrong"})).status == 401
    assert (await bench.http.get("/console/recorded")).status == 401
    await log_in(bench)
    assert (await bench.get("/console/recorded"))["data"][0]["from"] == "5550100"


async def test_the_cookie_is_strict_and_secure_where_the_page_came_encrypted(bench):
    plain, encrypted = await log_in(bench), await log_in(bench, **{"X-Forwarded-Proto": "https"})
    assert "HttpOnly" in plain
    assert "SameSite=Strict" in plain
    assert "Secure" not in plain
    assert "Secure" in encrypted


async def test_the_cookie_is_good_for_the_console_alone(bench):
    await log_in(bench)
    assert (await bench.http.get("/v1/calls")).status == 200
    assert (await bench.http.post("/v1/calls", json={"id": str(uuid4())})).status == 401
    assert (await bench.http.post("/cache/clear")).status == 401
    assert (await bench.http.get("/metrics")).status == 401


async def test_a_page_of_another_port_has_no_use_of_the_cookie(bench):
    await log_in(bench)
    for site in ("same-site", "cross-site"):
        assert (await bench.http.get("/v1/calls", headers={"Sec-Fetch-Site": site})).status == 401
    assert (await bench.http.get("/v1/calls", headers={"Sec-Fetch-Site": "same-origin"})).status == 200


async def test_nor_has_a_page_of_another_port_whose_browser_tells_only_its_origin(bench):
    await log_in(bench)
    own = (await bench.http.get("/v1/calls")).url
    for origin, status in ((f"http://{own.host}:9", 401), (f"http://{own.host}:{own.port}", 200)):
        assert (await bench.http.get("/v1/calls", headers={"Origin": origin})).status == status


async def test_the_page_may_load_nothing_from_elsewhere(bench):
    for path in ("/console", "/console/static/main.js", "/console/static/style.css"):
        response = await bench.http.get(path)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "http" not in policy
        assert "unsafe" not in policy
        text = await response.text()
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "https://" not in text
    assert (await bench.http.get("/console/static/../routes.py")).status in (401, 404)
    assert (await bench.http.get("/console/static/none.js")).status == 404


async def test_a_journal_comes_in_pages_of_whole_lines(bench, tmp_path, monkeypatch):
    name = record(tmp_path, "1", ended=("hung up", ""))
    whole = (tmp_path / f"{name}.jsonl").read_text()
    (tmp_path / f"{name}.jsonl").write_text(whole + '{"type": "half a li')
    monkeypatch.setattr(routes, "JOURNAL_BYTES", 100)
    await log_in(bench)
    offset, pages = 0, []
    while True:
        async with bench.http.get(f"/console/recorded/{name}/journal?offset={offset}") as response:
            page = await response.text()
            if not page:
                break
            assert page.endswith("\n")
            pages.append(page)
            offset = int(response.headers["X-Next-Offset"])
    assert "".join(pages) == whole
    assert len(pages) >= 2


async def test_sound_comes_by_range(bench, tmp_path):
    name = record(tmp_path, "1")
    await log_in(bench)
    assert (await bench.http.get(f"/console/recorded/{name}/sound")).status == 404
    with wave.open(str(tmp_path / f"{name}.wav"), "wb") as wav:
        wav.setparams((2, 2, 8_000, 0, "NONE", ""))
        wav.writeframes(bytes(range(256)) * 100)
    whole = (tmp_path / f"{name}.wav").read_bytes()
    assert (await bench.get(f"/console/recorded/{name}"))["sound_ms"] == 800
    for asked, status, expected in (
        (None, 200, whole),
        ("bytes=0-", 206, whole),
        ("bytes=40-99", 206, whole[40:100]),
        ("bytes=-7", 206, whole[-7:]),
        (f"bytes={len(whole)}-", 416, b""),
    ):
        headers = {"Range": asked} if asked else {}
        async with bench.http.get(f"/console/recorded/{name}/sound", headers=headers) as response:
            assert response.status == status
            assert response.headers["Cache-Control"] == "no-store"
            assert await response.read() == expected
            if status == 206:
                assert response.headers["Content-Range"].endswith(f"/{len(whole)}")


async def test_wrong_numbers_and_names_are_told(bench, tmp_path):
    await log_in(bench)
    name = record(tmp_path, "1")
    for path, status in ((f"{name}/journal?offset=-1", 400), (f"{name}x", 404), (f"{uuid4()}", 404)):
        assert (await bench.http.get(f"/console/recorded/{path}")).status == status
    assert (await bench.http.get("/console/recorded?limit=1e9")).status == 400


async def test_ended_calls_are_listed_where_one_asks_for_them(bench):
    await log_in(bench)
    bearer = {"Authorization": f"Bearer {KEY}"}
    call_id = str(uuid4())
    body = {"id": call_id, "from": "5550100", "to": "100"}
    assert (await bench.post("/v1/calls", body, headers=bearer))[0] == 201
    peer = await bench.call_named(call_id)
    assert [(call["from"], call["to"]) for call in (await bench.get("/v1/calls"))["data"]] == [("5550100", "100")]
    await bench.ended(peer)
    assert (await bench.get("/v1/calls"))["data"] == []
    assert [call["id"] for call in (await bench.get("/v1/calls?ended=1"))["data"]] == [call_id]


async def test_the_numbers_of_ended_calls_are_hidden_where_they_are_to_be(tmp_path):
    async with whole_app(
        console=True, api_key=KEY, privacy="routing", privacy_key="a key of the privacy " * 2
    ) as bench:
        await log_in(bench)
        call_id = str(uuid4())
        bearer = {"Authorization": f"Bearer {KEY}"}
        assert (await bench.post("/v1/calls", {"id": call_id, "from": "5550100"}, headers=bearer))[0] == 201
        await bench.ended(await bench.call_named(call_id))
        (call,) = (await bench.get("/v1/calls?ended=1"))["data"]
        assert call["id"] == call_id
        assert "5550100" not in str(call)
