"""With its token a call may be announced and asked about; no other call, and nothing else."""

from __future__ import annotations

from uuid import uuid4

import aiohttp
import pytest

from bridge.calls_api.call_token import call_token, dialplan_secret
from tests.support.whole_app import whole_app

KEY = "opensesame"


def token(call_id: str) -> str:
    return call_token(dialplan_secret(KEY), call_id)


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(user, password)}


async def test_a_token_is_good_for_its_call_and_for_no_more() -> None:
    call_id, other = str(uuid4()), str(uuid4())
    async with whole_app(api_key=KEY) as bench, aiohttp.ClientSession(bench.url) as http:

        async def status(method: str, path: str, headers: dict[str, str], form: dict[str, str] | None = None) -> int:
            async with http.request(method, path, headers=headers, data=form) as response:
                return response.status

        mine, form = basic(call_id, token(call_id)), {"id": call_id}
        assert await status("POST", "/v1/calls", {}, form) == 401
        assert await status("POST", "/v1/calls", basic(call_id, token(other)), form) == 401
        assert await status("POST", "/v1/calls", basic(call_id, KEY), form) == 401
        assert await status("POST", "/v1/calls", mine, {"id": other}) == 401
        assert await status("POST", "/v1/calls", mine, form) == 201
        assert await status("GET", f"/v1/calls/{call_id}/next", mine) == 404
        assert await status("GET", f"/v1/calls/{other}/next", mine) == 401
        for method, path in ("GET", ""), ("POST", "/hangup"), ("POST", "/say"), ("GET", "/events"):
            assert await status(method, f"/v1/calls/{call_id}{path}", mine) == 401
        assert await status("GET", "/v1/calls", mine) == 401
        assert await status("GET", "/metrics", mine) == 401


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Basic AAAA", "Bearer ", "Basic w7w6w7w="])
async def test_nonsense_is_refused(header: str) -> None:
    sent = {"headers": {"Authorization": header}, "data": {"id": str(uuid4())}}
    async with (
        whole_app(api_key=KEY) as bench,
        aiohttp.ClientSession(bench.url) as http,
        http.post("/v1/calls", **sent) as response,
    ):
        assert response.status == 401


def test_neither_key_nor_secret_is_in_a_token() -> None:
    secret = dialplan_secret(KEY)
    assert len(secret) == 64
    assert KEY not in secret
    assert len({token("a"), token("b"), call_token(dialplan_secret("another"), "a")}) == 3
