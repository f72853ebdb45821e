"""A burst of calls at two servers: those that the first has no room for are answered by the second, every one."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from bridge.commands.dialplan_folder import install
from bridge.commands.dialplan_options import DialplanOptions, ServerAddress
from bridge.commands.dialplan_text import render
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.sip import dial
from tests.support.asterisk.talkspurt import CallsApi, Talkspurt, running

CALLS = 8
ANSWER_S = 30.0
BY = "[calls](+)\nexten => burst,1,Gosub(burst,s,1)\n same => n,Milliwatt()\n"


def address(server: Talkspurt) -> ServerAddress:
    return ServerAddress("127.0.0.1", int(server.url.rpartition(":")[2]), server.audiosocket_port)


async def test_a_burst_finds_the_second_server(asterisk: Asterisk, talkspurt: Talkspurt, tmp_path: Path) -> None:
    etc = asterisk.folder / "etc"
    with running(tmp_path, GREETING="Hello.", MAX_CALLS="2") as small:
        (etc / "extensions_custom.conf").write_text(BY)
        options = DialplanOptions([address(small), address(talkspurt)], asterisk=(22, 10), context="burst")
        install(etc, "burst", render(options, ""), "")
        asterisk.cli("dialplan reload")
        async with AsyncExitStack() as phones, aiohttp.ClientSession(small.url) as http:
            placed = (phones.enter_async_context(dial(asterisk.sip_address, "burst")) for _ in range(CALLS))
            calls = await asyncio.gather(*placed)
            await asyncio.gather(*(call.until_voice(ANSWER_S) for call in calls))
            async with aiohttp.ClientSession(talkspurt.url) as other:
                shares = len(await CallsApi(http).active()), len(await CallsApi(other).active())
    (etc / "extensions_custom.conf").unlink()
    assert shares == (2, CALLS - 2)
