"""The dialplan that administrators are given, loaded into a real Asterisk as FreePBX would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from bridge.calls_api.call_token import call_token, dialplan_secret
from bridge.commands.dialplan_folder import install
from bridge.commands.dialplan_options import DialplanOptions, ServerAddress
from bridge.commands.dialplan_text import render, render_client
from tests.asterisk.ari import Ari
from tests.support.asterisk.asterisk import Asterisk, free_port
from tests.support.asterisk.sip import SipCall, dial
from tests.support.asterisk.talkspurt import CallsApi, Talkspurt, running
from tests.support.recognition import normalise, read_wav, recognise
from tests.support.waiting import eventually

API_KEY = "opensesame"
ANSWER_S = 15.0

# What FreePBX generates of an inbound route and a Custom Destination with Return = Yes (here one for each way to print
# the dialplan), and of the places where calls may go on. `straight` is a destination with Return = No.
FREEPBX = """
[calls](+)
exten => _to.,1,Set(__FROM_DID=5550100)
 same => n,Goto(customdests,${EXTEN:3},1)

[customdests]
exten => _[a-z].,1,NoOp(Entering Custom Destination)
 same => n,Gosub(${EXTEN},s,1(sales))
 same => n,NoOp(Returned from Custom Destination)
 same => n,Goto(app-announcement,1,1)

exten => straight,1,Goto(plain,s,1)
exten => withheld,1,Set(CALLERID(num-pres)=prohib)
 same => n,Set(TS_VARS=lead=42&shop=Main%20Street)
 same => n,Set(AMDSTATUS=HUMAN)
 same => n,Set(FROM_DID=)
 same => n,Goto(plain,1)
exten => colleague,1,UserEvent(WentOn,Call: none,Where: colleague)
 same => n,Wait(5)
exten => customer,1,Dial(Local/s@customer/n)

[customer]
exten => s,1,Answer()
 same => n,Milliwatt()

[calls](+)
exten => recorded,1,Set(__FROM_DID=5550100)
 same => n,MixMonitor(@FOLDER@/recordings/both.wav,b)
 same => n,Goto(customdests,plain,1)
exten => colleague,1,Answer(,i)
 same => n,UserEvent(Waits,Channel: ${CHANNEL(name)})
 same => n,Wait(60)
exten => _meet-.,1,Answer(,i)
 same => n,Bridge(${EXTEN:5})

[app-announcement]
exten => 1,1,UserEvent(WentOn,Call: ${TS_CALL},Where: fallback)
 same => n,Milliwatt()

[ext-queues]
exten => 400,1,UserEvent(WentOn,Call: ${TS_CALL},Where: queue)
 same => n,Milliwatt()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talkspurt]:
    """One that takes one call at a time, registered, from who knows its key."""
    with running(
        tmp_path_factory.mktemp("talkspurt"),
        GREETING="Hello, this is the front desk.",
        API_KEY=API_KEY,
        REQUIRE_REGISTRATION="true",
        MAX_CALLS="1",
        TRANSFER_ALLOW="ext-queues,*,1",
    ) as running_server:
        yield running_server


@pytest.fixture
async def calls(server: Talkspurt) -> AsyncIterator[CallsApi]:
    async with aiohttp.ClientSession(server.url, headers={"Authorization": f"Bearer {API_KEY}"}) as http:
        yield CallsApi(http)


@pytest.fixture(scope="module")
def mortal() -> ServerAddress:
    """The ports of a server that a test starts and kills."""
    return ServerAddress("127.0.0.1", free_port(), free_port())


@pytest.fixture(scope="module", autouse=True)
def dialplan(asterisk: Asterisk, server: Talkspurt, mortal: ServerAddress) -> Iterator[None]:
    here = ServerAddress("127.0.0.1", int(server.url.rpartition(":")[2]), server.audiosocket_port)
    nobody = ServerAddress("127.0.0.1", free_port(), free_port())
    etc = asterisk.folder / "etc"
    custom = etc / "extensions_custom.conf"
    custom.write_text(FREEPBX.replace("@FOLDER@", str(asterisk.folder)))
    known = DialplanOptions([here], asterisk=(22, 10), secret=True, folder=str(etc))
    for options in (
        replace(known, context="plain", asterisk=None),
        replace(known, context="app", application=True),
        replace(known, context="wide", wideband=True),
        replace(known, context="socket", websocket=True),
        replace(known, context="socketsecond", websocket=True, servers=[nobody, here]),
        replace(known, context="second", servers=[nobody, here]),
        replace(known, context="down", servers=[nobody]),
        replace(known, context="keyless", secret=False),
        replace(known, context="mortal", servers=[mortal]),
        replace(known, context="elsewhere", servers=[nobody], fallback="ext-queues,400,1"),
    ):
        client = render_client(options) if options.websocket else ""
        install(etc, options.context, render(options, ""), dialplan_secret(API_KEY), client)
    asterisk.cli("dialplan reload")
    asterisk.cli("module reload res_websocket_client.so")
    yield
    custom.unlink()
    asterisk.cli("dialplan reload")


@asynccontextmanager
async def talking(
    asterisk: Asterisk, calls: CallsApi, way: str, caller: str = "2001", name: str = ""
) -> AsyncIterator[tuple[SipCall, str]]:
    """A call by this destination, and its id, from when the caller hears the agent; over when it is left."""
    async with dial(asterisk.sip_address, f"to-{way}", caller=caller, name=name) as call:
        await call.until_voice(ANSWER_S)
        (call_id,) = await calls.active()
        yield call, call_id

    async def over() -> bool:
        return not await calls.active()

    await eventually(over, ANSWER_S)


async def elsewhere(ari: Ari, after: int) -> str:
    """Where the dialplan goes on with a call that no agent took; `after` events had come before that call."""
    event = await ari.until(lambda event: event.get("eventname") == "WentOn", ANSWER_S, after)
    return str(event["userevent"]["Where"])


async def until_logged(asterisk: Asterisk, text: str) -> None:
    """Waits for Asterisk's log to say this: a thread of its own writes it."""

    async def logged() -> bool:
        return text in asterisk.log

    await eventually(logged, ANSWER_S)


async def test_who_calls_is_known_to_the_agent(asterisk: Asterisk, calls: CallsApi) -> None:
    name = "O'Brien & (mobile), ${EXTEN}; 50% José"
    async with talking(asterisk, calls, "plain", caller="5551234", name=name) as (_, call_id):
        variables = (await calls.call(call_id))["conversation"]["variables"]
    assert variables["name"] == name
    assert variables["from"] == "5551234"
    assert variables["to"] == "5550100"
    assert variables["line"] == "sales"
    assert variables["uniqueid"]
    assert "amd" not in variables, "nobody has looked for an answering machine, so nobody takes the caller for one"


async def test_a_withheld_number_is_withheld_and_channel_variables_come_along(
    asterisk: Asterisk, calls: CallsApi
) -> None:
    async with talking(asterisk, calls, "withheld", caller="5551234", name="Ann Lee") as (_, call_id):
        variables = (await calls.call(call_id))["conversation"]["variables"]
        userfield = asterisk.cli("core show channels concise").splitlines()
        records = "".join(asterisk.cli(f"core show channel {line.split('!')[0]}") for line in userfield)
    assert (variables["from"], variables["name"]) == ("", "")
    assert (variables["lead"], variables["shop"]) == ("42", "Main Street")
    assert variables["to"] == "to-withheld"
    assert variables["amd"] == "HUMAN"
    assert f"userfield={call_id}" in records


@pytest.mark.parametrize(
    ("way", "rate_hz"),
    [
        ("plain", 8_000),
        ("app", 8_000),
        ("wide", 16_000),
        ("second", 8_000),
        ("socket", 8_000),
        ("socketsecond", 8_000),
    ],
)
async def test_agent_ends_the_call(asterisk: Asterisk, calls: CallsApi, way: str, rate_hz: int) -> None:
    async with talking(asterisk, calls, way) as (call, call_id):
        assert (await calls.call(call_id))["rate_hz"] == rate_hz
        await calls.hang_up(call_id)
        await call.until_ended(ANSWER_S)


@pytest.mark.parametrize("way", ["plain", "app", "wide", "socket"])
async def test_agent_transfers_the_call(asterisk: Asterisk, calls: CallsApi, ari: Ari, way: str) -> None:
    async with talking(asterisk, calls, way) as (_, call_id):
        await calls.hang_up(call_id, next="ext-queues,400,1")
        assert (await ari.went_on(call_id))["Where"] == "queue"


@pytest.mark.parametrize("place", ["", "ext-queues,999,1"])
async def test_nowhere_to_go_is_the_fallback(asterisk: Asterisk, calls: CallsApi, ari: Ari, place: str) -> None:
    async with talking(asterisk, calls, "plain") as (_, call_id):
        await calls.hang_up(call_id, next=place)
        assert (await ari.went_on(call_id))["Where"] == "fallback"


@pytest.mark.parametrize("way", ["plain", "wide", "socket"])
async def test_phone_of_the_caller_transfers_the_agent(asterisk: Asterisk, calls: CallsApi, ari: Ari, way: str) -> None:
    so_far = len(ari.events)
    async with talking(asterisk, calls, way) as (call, call_id):
        assert await call.transfer("to-colleague") == 202
        # The caller's own phone hangs up once it has been told of this; until then it goes on in the dialplan.
        await ari.until(lambda e: e.get("userevent", {}).get("Where") == "colleague", ANSWER_S, so_far)
        await calls.hang_up(call_id)


@pytest.mark.parametrize("role", ["caller", "called"])
@pytest.mark.parametrize("way", ["plain", "wide", "socket"])
async def test_agent_sends_on_a_customer_whom_a_colleague_gave_it(
    asterisk: Asterisk, calls: CallsApi, ari: Ari, role: str, way: str
) -> None:
    async with AsyncExitStack() as phones:
        if role == "called":
            first = await phones.enter_async_context(dial(asterisk.sip_address, "to-customer"))
        else:
            so_far = len(ari.events)
            first = await phones.enter_async_context(dial(asterisk.sip_address, "colleague"))
            customer = {"caller": "5559876", "name": "Bob Customer"}
            channel = (await ari.until(lambda e: e.get("eventname") == "Waits", ANSWER_S, so_far))["userevent"][
                "Channel"
            ]
            await phones.enter_async_context(dial(asterisk.sip_address, f"meet-{channel}", **customer))
        second, call_id = await phones.enter_async_context(talking(asterisk, calls, way))

        async def known() -> bool:
            variables = (await calls.call(call_id))["conversation"]["variables"]
            return (variables["from"], variables["name"]) == ("5559876", "Bob Customer")

        assert await first.transfer(second) == 202
        await second.until_ended(ANSWER_S)
        if role == "caller":
            await eventually(known, ANSWER_S)
        so_far = len(ari.events)
        await calls.hang_up(call_id, next="ext-queues,400,1")
        assert await elsewhere(ari, so_far) == "queue"
    asterisk.cli("channel request hangup all")  # the customer who was called waits in the queue for ever


@pytest.mark.parametrize(("way", "where"), [("down", "fallback"), ("keyless", "fallback"), ("elsewhere", "queue")])
async def test_no_server_takes_the_call(asterisk: Asterisk, ari: Ari, way: str, where: str) -> None:
    so_far = len(ari.events)
    async with dial(asterisk.sip_address, f"to-{way}"):
        assert await elsewhere(ari, so_far) == where


async def test_full_server_takes_no_more(asterisk: Asterisk, calls: CallsApi, ari: Ari) -> None:
    so_far = len(ari.events)
    async with talking(asterisk, calls, "plain"), dial(asterisk.sip_address, "to-plain"):
        assert await elsewhere(ari, so_far) == "fallback"
    await until_logged(asterisk, "MAX_CALLS=1 calls are in progress")


async def test_server_killed_in_mid_call(asterisk: Asterisk, ari: Ari, mortal: ServerAddress, tmp_path: Path) -> None:
    so_far = len(ari.events)
    ports = {"HTTP_PORT": str(mortal.http_port), "AUDIOSOCKET_PORT": str(mortal.audiosocket_port)}
    with running(tmp_path, GREETING="Hello, this is the front desk.", **ports) as doomed:
        async with dial(asterisk.sip_address, "to-mortal") as call:
            await call.until_voice(ANSWER_S)
            doomed.kill()
            assert await elsewhere(ari, so_far) == "fallback"


async def test_destination_that_does_not_return_is_told(asterisk: Asterisk, calls: CallsApi) -> None:
    async with talking(asterisk, calls, "straight") as (call, call_id):
        await calls.hang_up(call_id, next="")
        await call.until_ended(ANSWER_S)
    await until_logged(asterisk, "set Return to Yes")
    assert "set Return to Yes" in asterisk.log


async def test_freepbx_records_both_sides(asterisk: Asterisk, calls: CallsApi) -> None:
    recording = asterisk.folder / "recordings/both.wav"
    async with dial(asterisk.sip_address, "recorded") as call:
        await call.until_voice(ANSWER_S)
        (call_id,) = await calls.active()
        await calls.until_silent(call_id, ANSWER_S)
        await call.until_quiet(0.3, ANSWER_S, after=len(call.packets))

    async def closed() -> bool:
        # Asterisk writes the length into the header last.
        data = recording.read_bytes()
        return len(data) > 44 and int.from_bytes(data[4:8], "little") + 8 == len(data)

    await eventually(closed, ANSWER_S)
    assert "front desk" in normalise(await recognise(*read_wav(recording)))


async def test_the_log_of_asterisk_has_tokens_and_no_key(asterisk: Asterisk, calls: CallsApi) -> None:
    async with talking(asterisk, calls, "plain") as (_, call_id):
        pass
    await until_logged(asterisk, f"CURLOPT(userpwd)={call_id}:{call_token(dialplan_secret(API_KEY), call_id)}")
    assert API_KEY not in asterisk.log
    assert dialplan_secret(API_KEY) not in asterisk.log


@pytest.mark.parametrize(
    ("way", "module"),
    [
        ("plain", "chan_audiosocket.so"),
        ("app", "app_audiosocket.so"),
        ("socket", "chan_websocket.so"),
        ("plain", "func_curl.so"),
        ("app", "func_sha1.so"),
    ],
)
async def test_module_that_is_not_loaded_is_the_fallback(
    asterisk: Asterisk, calls: CallsApi, ari: Ari, way: str, module: str
) -> None:
    assert not await calls.active()
    so_far = len(ari.events)

    async def unloaded() -> bool:  # not while a call before this one is still looked after
        return "Unable" not in asterisk.cli(f"module unload {module}")

    await eventually(unloaded, ANSWER_S)
    try:
        async with dial(asterisk.sip_address, f"to-{way}"):
            assert await elsewhere(ari, so_far) == "fallback"
    finally:
        asterisk.cli(f"module load {module}")
