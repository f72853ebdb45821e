"""The agent calls somebody: a call file is written, a real Asterisk dials, and who answers talks with the agent."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from bridge.commands.dialplan import DialplanOptions, ServerAddress, render
from tests.support.asterisk.asterisk import Asterisk, free_port
from tests.support.asterisk.talkspurt import CallsApi, running
from tests.support.asterisk.waiting import eventually

DEADLINE_S = 20.0
PEOPLE = """
[people]
exten => _2XX,1,Answer()
 same => n,Milliwatt()
"""


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
