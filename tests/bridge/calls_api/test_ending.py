"""Hanging up a call, and telling the dialplan where to go on."""

from __future__ import annotations

import asyncio

import pytest

from bridge.line.audiosocket import Kind
from tests.support.fakes import Asterisk
from tests.support.whole_app import Bench, by_both_doors, whole_app


@by_both_doors
async def test_hangup_gives_the_call_back(bench: Bench, peer: Asterisk, path: str) -> None:
    assert (await bench.post(f"{path}/hangup"))[0] == 202
    while (await peer.receive()).kind != Kind.HANGUP:
        pass
    for what, body in (("say", {"text": "Too late."}), ("events", {"type": "input_audio_buffer.speech_started"})):
        status, answer = await bench.post(f"{path}/{what}", body)
        assert (status, answer["error"]["code"]) == (409, "conflict")
    assert await bench.post(f"{path}/interrupt") == (200, {"interrupted": False})


async def test_a_goodbye_is_heard_and_the_dialplan_goes_where_it_is_told() -> None:
    async with whole_app(transfer_allow="sales=ext-queues,400,1") as bench:
        peer = await bench.call()
        path = f"/v1/calls/{peer.id}/hangup"
        status, answer = await bench.post(path, {"next": "macro-evil,s,1"})
        assert (status, answer["error"]["param"]) == (400, "next")
        assert await bench.next(peer) == ""
        assert (await bench.post(path, {"text": "Bye now.", "next": "sales"}))[0] == 202
        heard = await peer.drain()
        assert sum(any(message.payload) for message in heard) == 40
        assert heard[-1].kind == Kind.HANGUP
        assert await bench.next(peer) == "ext-queues,400,1"
        await peer.close()
        other = await bench.call()
        assert (await bench.post(f"/v1/calls/{other.id}/hangup"))[0] == 202
        await other.drain()
        assert await bench.next(other) == "hangup"
        await other.close()


async def test_the_fallback_is_the_administrators_and_needs_no_other_leave() -> None:
    async with whole_app(fallback_destination="from-internal,*97,1") as bench:
        peer = await bench.call()
        assert await bench.next(peer) == "from-internal,*97,1"
        status, _ = await bench.post(f"/v1/calls/{peer.id}/hangup", {"next": "from-internal,*97,1"})
        assert status == 400, "that it is the fallback lets nobody else send calls there"
        await bench.post(f"/v1/calls/{peer.id}/hangup", {"next": ""})
        assert await bench.next(peer) == "from-internal,*97,1"
        await peer.close()


@by_both_doors
async def test_many_hangups_at_once_are_one_and_a_late_wish_is_refused(bench: Bench, peer: Asterisk, path: str) -> None:
    answers = await asyncio.gather(*(bench.post(f"{path}/hangup", {"text": f"Bye {n}."}) for n in range(8)))
    assert sorted(status for status, _ in answers) == [202] + [409] * 7
    assert (await bench.post(f"{path}/hangup"))[0] == 202, "to end what is ending is no fault"
    status, answer = await bench.post(f"{path}/hangup", {"next": ""})
    assert (status, answer["error"]["message"]) == (409, "the call is ending")
    await peer.drain()
    assert len(bench.engine.spoken) == 1
    await bench.ended(peer)
    assert (await bench.post(f"{path}/hangup"))[0] == 202
    assert (await bench.post(f"{path}/hangup", {"text": "Bye."}))[1]["error"]["message"] == "the call is ended"


@by_both_doors
async def test_an_interrupted_goodbye_still_ends_the_call(bench: Bench, peer: Asterisk, path: str) -> None:
    await bench.post(f"{path}/hangup", {"text": "A long goodbye that nobody has to hear to its end."})
    await peer.hear(voiced=True)
    _, answer = await bench.post(f"{path}/interrupt")
    assert answer["interrupted"]
    assert (await peer.drain())[-1].kind == Kind.HANGUP


@pytest.mark.parametrize("call_id", ["5b7f2f0c-8a35-4f3f-9d6e-3f1d1f0c2a11", "nonsense"])
async def test_next_of_a_call_that_nobody_knows_says_so(bench: Bench, call_id: str) -> None:
    async with bench.http.get(f"/v1/calls/{call_id}/next") as response:
        assert (response.status, await response.text()) == (404, "not-found")
    async with bench.http.get(f"/v1/calls/{call_id}/topic") as response:
        assert (response.status, await response.text()) == (404, ""), "a telephone would show it"
        assert response.content_type == "text/plain"
        assert "Content-Type" in response.headers, "the document says so"
