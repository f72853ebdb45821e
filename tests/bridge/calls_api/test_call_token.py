"""With its token a call may be announced and asked about; no other call, and nothing else."""

from __future__ import annotations

from uuid import UUID, uuid4

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


async def test_the_dialplan_is_told_ids_and_tokens_for_a_warm_transfer() -> None:
    call_id = str(uuid4())
    warm = {"transfer_allow": "sales=people,sales,1", "transfer_warm": "sales"}
    async with whole_app(api_key=KEY, greeting="Hello.", **warm) as bench, aiohttp.ClientSession(bench.url) as http:
        peer = await bench.call_named(call_id)
        bearer = {"Authorization": f"Bearer {KEY}"}
        async with http.post(f"/v1/calls/{call_id}/hangup", headers=bearer, json={"next": "sales"}) as response:
            assert response.status == 202, await response.text()
        async with http.get(f"/v1/calls/{call_id}/next", headers=basic(call_id, token(call_id))) as response:
            *place, brief, of_brief, again, of_again = (await response.text()).split(",")
        assert place == ["people", "sales", "1", "warm"]
        assert len({call_id, str(UUID(brief)), str(UUID(again))}) == 3
        for new, its in (brief, of_brief), (again, of_again):
            async with http.post("/v1/calls", headers=basic(new, its), data={"id": new}) as response:
                assert response.status == 201
        await peer.close()


async def test_without_a_key_there_are_ids_and_no_tokens() -> None:
    """A dialplan that was printed when there was a key finds ids in its place, too."""
    warm = {"transfer_allow": "sales=people,sales,1", "transfer_warm": "sales"}
    async with whole_app(greeting="Hello.", **warm) as bench:
        peer = await bench.call()
        await bench.post(f"/v1/calls/{peer.id}/hangup", {"next": "sales"})
        *_, brief, of_brief, again, of_again = (await bench.next(peer)).split(",")
        assert (of_brief, of_again) == ("", "")
        assert UUID(brief) != UUID(again)
        await peer.close()


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
