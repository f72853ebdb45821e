"""Several agents behind one printed dialplan: chosen by its extension, or by the number that was called."""

from __future__ import annotations

from collections.abc import Iterator

import aiohttp
import pytest

from bridge.commands.dialplan import DialplanOptions, ServerAddress, render
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.sip import dial
from tests.support.asterisk.talkspurt import CallsApi, Talkspurt, running

ANSWER_S = 15.0
CALLS = """
[calls](+)
exten => _to.,1,Set(__FROM_DID=5550100)
 same => n,Gosub(plain,${EXTEN:3},1)
 same => n,Hangup()
"""
AGENTS = """
desk: {default: true, greeting: This is the front desk.}
front-office: {greeting: This is the office.}
shop: {numbers: '555*', greeting: This is the shop.}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talkspurt]:
    folder = tmp_path_factory.mktemp("talkspurt")
    (folder / "agents.yaml").write_text(AGENTS)
    with running(folder, AGENTS=str(folder / "agents.yaml")) as running_server:
        yield running_server


@pytest.mark.parametrize(("extension", "name"), [("front-office", "front-office"), ("desk", "desk"), ("s", "shop")])
async def test_the_extension_or_the_number_names_the_agent(
    asterisk: Asterisk, server: Talkspurt, extension: str, name: str
) -> None:
    here = ServerAddress("127.0.0.1", int(server.url.rpartition(":")[2]), server.audiosocket_port)
    dialplan = render(DialplanOptions([here], context="plain"), "")
    (asterisk.folder / "etc/extensions_custom.conf").write_text(CALLS + dialplan)
    asterisk.cli("dialplan reload")
    async with aiohttp.ClientSession(server.url) as http, dial(asterisk.sip_address, f"to-{extension}") as call:
        calls = CallsApi(http)
        await call.until_voice(ANSWER_S)
        (call_id,) = await calls.active()
        assert (await calls.call(call_id))["agent_name"] == name
        await calls.hang_up(call_id)
        await call.until_ended(ANSWER_S)
