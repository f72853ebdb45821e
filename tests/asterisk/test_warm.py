"""A warm transfer on a real Asterisk: a colleague hears what the call is about, takes it or not, and nobody is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from bridge.calls_api.call_token import dialplan_secret
from bridge.commands.dialplan_options import DialplanOptions, ServerAddress
from bridge.commands.dialplan_text import render, render_client
from bridge.dial.wav import write_wav
from tests.asterisk.ari import Ari
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.signals import is_milliwatt
from tests.support.asterisk.sip import SipCall, dial
from tests.support.asterisk.talkspurt import CallsApi, Talkspurt, running
from tests.support.waiting import eventually

ANSWER_S = 20.0
PATIENCE_S = 30.0
"""A caller who is not with somebody by then is lost."""
MUSIC = (np.sin(np.arange(80_000) * 2 * np.pi * 400 / 8_000) * 8_000).astype(np.int16)
PEOPLE = """
[calls](+)
exten => _to.,1,Set(__FROM_DID=5550100)
 same => n,Gosub(${EXTEN:3},s,1)
 same => n,UserEvent(Fallback,Call: ${TS_CALL})
 same => n,Milliwatt()

[people]
exten => taker,1,Answer()
 same => n,UserEvent(Shown,Name: ${CALLERID(name)},Topic: ${TS_TOPIC})
 same => n,Wait(1)
 same => n,SendDTMF(1)
 same => n,Milliwatt()
exten => decliner,1,Answer()
 same => n,Wait(1)
 same => n,SendDTMF(2)
 same => n,Wait(30)
exten => leaver,1,Answer()
 same => n,Wait(1)
 same => n,Hangup()
exten => busy,1,Busy(1)
exten => taker,hint,Custom:taker
exten => listener,1,Answer()
 same => n,Wait(60)
exten => talker,1,Answer()
 same => n,Milliwatt()
exten => ringer,1,UserEvent(Rings)
 same => n,Wait(2)
 same => n,Busy(1)

[func-set-sipheader]
exten => s,1,UserEvent(Header,Name: ${ARG1},Value: ${ARG2})
 same => n,Return()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talkspurt]:
    folder = tmp_path_factory.mktemp("talkspurt")
    (folder / "agents.yaml").write_text("shop: {default: true}")
    with running(
        folder,
        AGENTS=str(folder / "agents.yaml"),
        GREETING="Hello.",
        TRANSFER_ALLOW="taker=people,taker,1; decliner=people,decliner,1; leaver=people,leaver,1; busy=people,busy,1;"
        "listener=people,listener,1; talker=people,talker,1",
        TRANSFER_WARM="taker; decliner; leaver; busy; listener; talker",
        API_KEY="opensesame",
        REQUIRE_REGISTRATION="true",
    ) as running_server:
        yield running_server


@pytest.fixture(scope="module", autouse=True)
def dialplan(asterisk: Asterisk, server: Talkspurt) -> Iterator[None]:
    here = ServerAddress("127.0.0.1", server.http_port, server.audiosocket_port)
    etc = asterisk.folder / "etc"
    versions = {"plain": (22, 10), "warmsocket": (22, 10), "old": (18, 26), "unknown": None}
    texts = []
    for context, version in versions.items():
        (etc / f"{context}.secret").write_text(dialplan_secret("opensesame"))
        options = DialplanOptions(
            [here], asterisk=version, context=context, secret=True, folder=str(etc), websocket=context == "warmsocket"
        )
        texts.append(render(options, ""))
        if options.websocket:
            asterisk.may_connect(render_client(options))
    (etc / "extensions_custom.conf").write_text("".join([PEOPLE, *texts]))
    asterisk.cli("dialplan reload")
    write_wav(asterisk.folder / "music/tone.wav", MUSIC, 8_000)
    asterisk.cli("module load res_musiconhold.so")  # it wants music when it is loaded
    yield
    (etc / "extensions_custom.conf").unlink()
    asterisk.cli("dialplan reload")


@pytest.fixture
async def calls(server: Talkspurt) -> AsyncIterator[CallsApi]:
    async with aiohttp.ClientSession(server.url, headers={"Authorization": "Bearer opensesame"}) as http:
        yield CallsApi(http)


@asynccontextmanager
async def talking(asterisk: Asterisk, calls: CallsApi, context: str = "plain") -> AsyncIterator[tuple[SipCall, str]]:
    async with dial(asterisk.sip_address, f"to-{context}", caller="5551234", name="Ann Lee") as call:
        await call.until_voice(ANSWER_S)
        (call_id,) = await calls.active()
        yield call, call_id

    async def over() -> bool:
        return not await calls.active()

    await eventually(over, ANSWER_S)


async def back(calls: CallsApi, earlier: str) -> dict[str, Any]:
    """The conversation in which the agent has the caller back, once it has spoken."""
    found: dict[str, Any] = {}

    async def spoken() -> bool:
        for call_id in await calls.active():
            conversation = (await calls.call(call_id))["conversation"]
            if conversation["variables"].get("continues") == earlier and conversation["transcript"]:
                found.update(conversation)
        return bool(found)

    await eventually(spoken, ANSWER_S)
    return found


async def test_the_caller_hears_music_while_a_colleague_hears_the_brief(asterisk: Asterisk, calls: CallsApi) -> None:
    async with talking(asterisk, calls) as (call, call_id):
        await calls.hang_up(call_id, next="listener")
        brief: list[str] = []

        async def begun() -> bool:
            brief[:] = [active for active in await calls.active() if active != call_id]
            return bool(brief)

        await eventually(begun, ANSWER_S)
        await calls.until_speaking(brief[0], ANSWER_S)
        so_far = len(call.packets)
        await call.until(lambda: len(call.packets) >= so_far + 25, ANSWER_S)
        assert all(packet.is_voiced for packet in call.packets[so_far:]), "the music has a gap"
        await calls.hang_up(brief[0])


@pytest.mark.parametrize(("context", "briefed"), [("unknown", True), ("old", False)])
async def test_a_colleague_is_told_of_the_call_only_where_a_key_could_take_it(
    asterisk: Asterisk, calls: CallsApi, context: str, briefed: bool
) -> None:
    """The dialplan for any version looks at the version of this Asterisk, which has keys."""
    async with talking(asterisk, calls, context) as (call, call_id):
        await calls.hang_up(call_id, next="talker")
        active: list[str] = []

        async def decided() -> bool:
            active[:] = set(await calls.active()) - {call_id}
            return bool(active) or hears_tone(call)

        await eventually(decided, ANSWER_S)
        assert bool(active) is briefed
        for brief in active:
            await calls.hang_up(brief)


@pytest.mark.parametrize("context", ["plain", "warmsocket"])
async def test_a_colleague_who_presses_1_has_the_caller(
    asterisk: Asterisk, calls: CallsApi, ari: Ari, context: str
) -> None:
    so_far = len(ari.events)
    async with talking(asterisk, calls, context) as (call, call_id):
        await calls.hang_up(call_id, next="taker")
        shown = (await ari.until(lambda e: e.get("eventname") == "Shown", ANSWER_S, so_far))["userevent"]
        assert (shown["Name"], shown["Topic"]) == ("shop: Ann Lee", "shop")
        header = (await ari.until(lambda e: e.get("eventname") == "Header", ANSWER_S, so_far))["userevent"]
        assert (header["Name"], header["Value"]) == ("X-Talkspurt", f"{call_id} shop")

        async def connected() -> bool:
            return not await calls.active() and call.packets[-1].is_voiced

        await eventually(connected, ANSWER_S)


async def test_the_agent_knows_who_is_there_and_only_a_queue_with_nobody_is_not_called(
    asterisk: Asterisk, calls: CallsApi, ari: Ari
) -> None:
    logged_before = len(asterisk.log)
    (asterisk.folder / "etc/queues.conf").write_text("[general]\n[busy]\n")
    asterisk.cli("module load app_queue.so")
    asterisk.cli("devstate change Custom:taker INUSE")
    asterisk.cli("database put DND decliner YES")
    try:
        async with talking(asterisk, calls) as (_, call_id):
            states = (await calls.call(call_id))["conversation"]["variables"]["line_states"]
            assert set(filter(None, states.split(","))) == {
                *("taker@people=INUSE", "decliner@people=DND", "busy@people=NO_AGENTS"),
                *("leaver@people=UNKNOWN", "listener@people=UNKNOWN", "talker@people=UNKNOWN"),
            }
            await calls.hang_up(call_id, next="busy")
            conversation = await back(calls, call_id)
            assert conversation["variables"]["transfer_failed"] == "nobody is logged in there"
        async with talking(asterisk, calls) as (_, call_id):
            await calls.hang_up(call_id, next="decliner")
            conversation = await back(calls, call_id)
            assert conversation["variables"]["transfer_failed"] == "they cannot take the call now", "DND is called"
    finally:
        asterisk.cli("database del DND decliner")
        asterisk.cli("devstate change Custom:taker NOT_INUSE")
        asterisk.cli("module unload app_queue.so")
    assert "not registered" not in asterisk.log[logged_before:], "a module that is not there is not asked"


@pytest.mark.parametrize(
    ("context", "who", "why"),
    [
        ("plain", "busy", "the line is busy"),
        ("plain", "decliner", "they cannot take the call now"),
        ("warmsocket", "decliner", "they cannot take the call now"),
        ("plain", "leaver", "whoever answered did not take the call; perhaps it was voicemail"),
    ],
)
async def test_the_agent_has_the_caller_back_whom_nobody_took(
    asterisk: Asterisk, calls: CallsApi, context: str, who: str, why: str
) -> None:
    async with talking(asterisk, calls, context) as (_, call_id):
        await calls.hang_up(call_id, next=who)
        conversation = await back(calls, call_id)
        assert conversation["variables"]["transfer_failed"] == why
        assert conversation["variables"]["from"] == "5551234"
        assert conversation["transcript"][0]["text"].startswith("Sorry, nobody is free at the moment.")


async def test_callers_are_with_somebody_when_the_server_is_killed_during_a_warm_transfer(
    asterisk: Asterisk, ari: Ari, tmp_path: Path
) -> None:
    """One caller's colleague is still being called, and is busy; another's hears the brief."""
    so_far = len(ari.events)
    allowed = "ringer=people,ringer,1; talker=people,talker,1"
    with running(tmp_path, GREETING="Hello.", TRANSFER_ALLOW=allowed, TRANSFER_WARM="ringer; talker") as server:
        here = ServerAddress("127.0.0.1", server.http_port, server.audiosocket_port)
        custom = asterisk.folder / "etc/extensions_custom.conf"
        before = custom.read_text()
        custom.write_text(before + render(DialplanOptions([here], asterisk=(22, 10), context="doomed"), ""))
        asterisk.cli("dialplan reload")
        try:
            async with (
                aiohttp.ClientSession(server.url) as http,
                dial(asterisk.sip_address, "to-doomed") as first,
                dial(asterisk.sip_address, "to-doomed") as second,
            ):
                calls = CallsApi(http)
                await first.until_voice(ANSWER_S)
                await second.until_voice(ANSWER_S)
                callers = await calls.active()
                await calls.hang_up(callers[0], next="talker")
                brief: list[str] = []

                async def begun() -> bool:
                    brief[:] = set(await calls.active()) - set(callers)
                    return bool(brief)

                await eventually(begun, ANSWER_S)
                await calls.until_speaking(brief[0], ANSWER_S)
                await calls.hang_up(callers[1], next="ringer")
                await ari.until(lambda e: e.get("eventname") == "Rings", ANSWER_S, so_far)
                server.kill()
                await first.until(lambda: hears_tone(first), PATIENCE_S)
                await second.until(lambda: hears_tone(second), PATIENCE_S)
        finally:
            custom.write_text(before)
            asterisk.cli("dialplan reload")
    assert sum(e.get("eventname") == "Rings" for e in ari.events[so_far:]) == 1, "the colleague is called once"


def hears_tone(call: SipCall) -> bool:
    """Tells whether the caller hears the tone of the fallback, or of a colleague who has taken the call."""
    return is_milliwatt(call.heard(call.packets[-10:]).pcm, call.codec.rate_hz)
