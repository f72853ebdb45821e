"""The agent calls somebody: a call file is written, a real Asterisk dials, and who answers talks with the agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import numpy as np

from bridge.commands.dialplan import DialplanOptions, ServerAddress, render
from bridge.dial.wav import write_wav
from bridge.outbound.call_file import CallFile
from bridge.outbound.outbound_calls import GRACE_S, OutboundCalls
from bridge.outbound.settings import OutboundSettings
from bridge.outbound.spool_watch import SpoolWatch
from tests.support.asterisk.asterisk import Asterisk, free_port
from tests.support.asterisk.talkspurt import CallsApi, running
from tests.support.voices import caller_says, silence
from tests.support.waiting import eventually

DEADLINE_S = 20.0
PEOPLE = """
[people]
exten => _2XX,1,Answer()
 same => n,Milliwatt()
exten => _3XX,1,Wait(20)                   ; nobody is at home
exten => _4XX,1,Answer()
 same => n,Playback({folder}/answer-${EXTEN})

[agent-calls]
exten => s,1,Answer()
 same => n,AMD()
 same => n,Gosub(plain,s,1)
 same => n,Hangup()
"""
ANSWERS = {
    "401": "Hello?",
    "402": "Hello. You have reached the voicemail of Ann Lee. I am not at home, or I am busy in the garden. Please "
    "leave your name and number after the tone, and I will call you back as soon as I can.",
}
"""A person and a voicemail."""


async def test_who_answers_talks_with_the_agent_that_knows_why_it_calls(asterisk: Asterisk, tmp_path: Path) -> None:
    ports = {"HTTP_PORT": str(free_port()), "AUDIOSOCKET_PORT": str(free_port())}
    here = ServerAddress("127.0.0.1", int(ports["HTTP_PORT"]), int(ports["AUDIOSOCKET_PORT"]))
    dialplan = render(DialplanOptions([here], context="plain"), "")
    (asterisk.folder / "etc/extensions_custom.conf").write_text(PEOPLE + dialplan)
    asterisk.cli("dialplan reload")
    spool = asterisk.folder / "spool/outgoing"
    outbound = {
        "OUTBOUND_SPOOL": str(spool),
        "OUTBOUND_ALLOW": "2??",
        "OUTBOUND_CHANNEL": "Local/{to}@people/n",
        "OUTBOUND_DESTINATION": "plain,s,1",
    }
    with running(tmp_path, GREETING="Hello {name}, about {what}.", **outbound, **ports) as server:
        async with aiohttp.ClientSession(server.url) as http:
            calls = CallsApi(http)
            body = {"to": "201", "variables": {"name": "Ann", "what": "the bill"}, "ring_s": 10}
            async with http.post("/v1/outbound-calls", json=body) as response:
                assert response.status == 202
                call_id = (await response.json())["id"]

            async def greeted() -> bool:
                if call_id not in await calls.active():
                    return False
                return bool((await calls.call(call_id))["conversation"]["transcript"])

            await eventually(greeted, DEADLINE_S)
            conversation = (await calls.call(call_id))["conversation"]
            variables = conversation["variables"]
            assert (variables["to"], variables["direction"], variables["what"]) == ("201", "outbound", "the bill")
            assert [entry["text"] for entry in conversation["transcript"]] == ["Hello Ann, about the bill."]
            await calls.hang_up(call_id)

            async def over() -> bool:
                return not await calls.active() and not list(spool.iterdir())

            await eventually(over, DEADLINE_S)


async def test_asterisk_tells_a_person_from_a_voicemail(asterisk: Asterisk, tmp_path: Path) -> None:
    """`AMD()` listens before the agent is there, as docs/outbound.md prints it; the agent knows its verdict."""
    for extension, words in ANSWERS.items():
        answer = np.concatenate((silence(300), caller_says(words), silence(6_000)))
        write_wav(tmp_path / f"answer-{extension}.wav", answer, 8_000)
    ports = {"HTTP_PORT": str(free_port()), "AUDIOSOCKET_PORT": str(free_port())}
    here = ServerAddress("127.0.0.1", int(ports["HTTP_PORT"]), int(ports["AUDIOSOCKET_PORT"]))
    dialplan = render(DialplanOptions([here], context="plain"), "")
    people = PEOPLE.replace("{folder}", str(tmp_path))
    (asterisk.folder / "etc/extensions_custom.conf").write_text(people + dialplan)
    asterisk.cli("dialplan reload")
    outbound = {
        "OUTBOUND_SPOOL": str(asterisk.folder / "spool/outgoing"),
        "OUTBOUND_ALLOW": "4??",
        "OUTBOUND_CHANNEL": "Local/{to}@people/n",
        "OUTBOUND_DESTINATION": "agent-calls,s,1",
    }
    with running(tmp_path, GREETING="Hello.", ON_VOICEMAIL="hang_up", **outbound, **ports) as server:
        async with aiohttp.ClientSession(server.url) as http:
            ids = {to: await place(http, to) for to in ANSWERS}
            calls, answered_by = CallsApi(http), {}
            for to, call_id in ids.items():
                await server.logged("call started", DEADLINE_S, call=call_id)
                answered_by[to] = (await calls.call(call_id))["conversation"]["answered_by"]
                await calls.hang_up(call_id)
                await server.logged("call ended", DEADLINE_S, call=call_id)
    assert answered_by == {"401": "person", "402": "voicemail"}


async def place(http: aiohttp.ClientSession, to: str) -> str:
    """Has the agent call somebody; returns the call's id."""
    async with http.post("/v1/outbound-calls", json={"to": to, "ring_s": 10}) as response:
        assert response.status == 202
        return str((await response.json())["id"])


async def test_a_call_that_nobody_answers_is_told(asterisk: Asterisk) -> None:
    """Asterisk removes the file when it has given up; the printed dialplan takes no agent for it."""
    here = ServerAddress("127.0.0.1", free_port(), free_port())
    dialplan = render(DialplanOptions([here], context="plain"), "")
    (asterisk.folder / "etc/extensions_custom.conf").write_text(PEOPLE + dialplan)
    asterisk.cli("dialplan reload")
    spool, now_s, told = asterisk.folder / "spool/outgoing", 0.0, list[dict[str, Any]]()
    calls = OutboundCalls(OutboundSettings(outbound_allow="3??"), lambda: now_s)
    call = CallFile(uuid4(), "Local/301@people/n", "plain,s,1", ring_s=1)
    calls.placed(call, {"to": "301"})
    call.place(spool)

    async def given_up() -> bool:
        return not list(spool.iterdir())

    await eventually(given_up, DEADLINE_S)
    watch = SpoolWatch(calls, spool, told.append)
    await watch.look()
    now_s += GRACE_S
    await watch.look()
    assert [(event["call_id"], event["reason"]) for event in told] == [(str(call.call_id), "not_answered")]
    assert f"Talkspurt at http://{here.host}:{here.http_port}" not in asterisk.log
