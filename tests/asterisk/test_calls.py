"""What caller, dialplan and developer see of a call, through a real Asterisk."""

from __future__ import annotations

import ssl
import subprocess
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from bridge.commands.dialplan_options import DialplanOptions, ServerAddress
from bridge.commands.dialplan_text import render_client
from tests.asterisk.ari import Ari
from tests.asterisk.conftest import GREETING
from tests.asterisk.tap import Tap
from tests.support.asterisk.asterisk import Asterisk, free_port
from tests.support.asterisk.relays import Relay
from tests.support.asterisk.rtp import L16_WIDEBAND, PCMA, PCMU, Codec
from tests.support.asterisk.signals import is_milliwatt, share_db
from tests.support.asterisk.sip import SipCall, dial
from tests.support.asterisk.talkspurt import CallsApi, Talkspurt, running
from tests.support.recognition import normalise, read_wav, recognise
from tests.support.waiting import eventually

ANSWER_S = 15.0
"""For anything to begin or end, on a machine that is busy with other things too."""
PAUSE_S = 0.3
"""Of packets without voice, to be sure that what was sent has arrived."""


def hears_tone(call: SipCall) -> bool:
    """Whether the caller hears what the dialplan goes on with."""
    return is_milliwatt(call.heard(call.packets[-10:]).pcm, call.codec.rate_hz)


async def until_tone(call: SipCall) -> None:
    await call.until(lambda: hears_tone(call), ANSWER_S)


async def hear_greeting(call: SipCall, api: CallsApi, call_id: str) -> str:
    """The words that the caller hears first."""
    await call.until_voice(ANSWER_S)
    await api.until_silent(call_id, ANSWER_S)
    await call.until_quiet(PAUSE_S, ANSWER_S, after=len(call.packets))
    return await recognise(call.heard().pcm, call.codec.rate_hz)


async def test_greeting_is_recorded_at_the_far_end_of_a_local_channel(
    asterisk: Asterisk, talkspurt: Talkspurt, ari: Ari, api: CallsApi, call_id: str
) -> None:
    recording = asterisk.folder / f"recordings/{call_id}.wav"
    endpoint = f"Local/{talkspurt.extension('app', call_id)}@calls/n"
    channel = await ari.originate(endpoint, "s", "listener", formats="slin", FILE=str(recording))
    await talkspurt.logged("call started", ANSWER_S, call=call_id)
    await api.hang_up(call_id)
    await ari.went_on(call_id)
    await ari.hang_up(channel)
    assert normalise(await recognise(*read_wav(recording))) == normalise(GREETING)


@pytest.mark.parametrize("codec", [PCMU, PCMA], ids=lambda codec: codec.name)
async def test_greeting_over_sip(
    asterisk: Asterisk, talkspurt: Talkspurt, api: CallsApi, call_id: str, codec: Codec
) -> None:
    async with dial(asterisk.sip_address, talkspurt.extension("try", call_id), codec) as call:
        assert normalise(await hear_greeting(call, api, call_id)) == normalise(GREETING)


async def test_wideband_both_ways(asterisk: Asterisk, talkspurt: Talkspurt, api: CallsApi, call_id: str) -> None:
    hiss = np.random.default_rng(1).normal(0, 3_000, 16_000).astype(np.int16)
    async with (
        Tap.before(talkspurt.audiosocket_port) as tap,
        dial(asterisk.sip_address, f"wide-{tap.port}-{call_id}", L16_WIDEBAND) as call,
    ):
        assert normalise(await hear_greeting(call, api, call_id)) == normalise(GREETING)
        assert (await api.call(call_id))["rate_hz"] == 16_000
        await call.play(hiss)
        await call.hang_up()
        await talkspurt.logged("call ended", ANSWER_S, call=call_id)
    said = [message for message in tap.from_asterisk if message.kind == 0x12]
    spoken = [message for message in tap.from_server if any(message.payload)]
    assert {message.kind for message in tap.from_asterisk} == {0x01, 0x12}
    assert {(message.kind, len(message.payload)) for message in spoken} == {(0x12, 640)}
    # A line of 8 kHz, wherever it were on the way, would leave nothing above 4 kHz.
    assert share_db(call.heard().pcm, 16_000, 4_500, 8_000) > -35
    assert share_db(np.frombuffer(b"".join(m.payload for m in said), "<i2"), 16_000, 4_500, 8_000) > -6


async def test_wideband_over_a_websocket(asterisk: Asterisk, talkspurt: Talkspurt, api: CallsApi, call_id: str) -> None:
    async with dial(asterisk.sip_address, talkspurt.extension("widesocket", call_id), L16_WIDEBAND) as call:
        assert normalise(await hear_greeting(call, api, call_id)) == normalise(GREETING)
        assert (await api.call(call_id))["rate_hz"] == 16_000
    assert share_db(call.heard().pcm, 16_000, 4_500, 8_000) > -35


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """One of localhost, signed by itself, with its key."""
    path = tmp_path / "proxy.pem"
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run(["openssl", "req", *options, "-keyout", path, "-out", path], check=True, capture_output=True)
    return path


async def test_encrypted_by_a_proxy_before_the_server(
    asterisk: Asterisk, talkspurt: Talkspurt, api: CallsApi, call_id: str, certificate: Path
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with Relay(talkspurt.http_port).listening(tls) as proxy:
        options = DialplanOptions([ServerAddress("localhost", proxy.port, 9)], context=f"tests-{proxy.port}", tls=True)
        asterisk.may_connect(f"{render_client(options)}ca_list_file = {certificate}\n")
        async with dial(asterisk.sip_address, f"socket-{proxy.port}-{call_id}") as call:
            assert normalise(await hear_greeting(call, api, call_id)) == normalise(GREETING)


@pytest.mark.parametrize("way", ["try", "socket"])
async def test_keys_arrive(asterisk: Asterisk, talkspurt: Talkspurt, api: CallsApi, call_id: str, way: str) -> None:
    async with dial(asterisk.sip_address, talkspurt.extension(way, call_id)) as call:
        await call.send_dtmf("0123456789*#ABCD")

        async def all_there() -> bool:
            return bool((await api.call(call_id))["dtmf"] == "0123456789*#ABCD")

        await eventually(all_there, ANSWER_S)
        assert (await api.call(call_id))["dtmf"] == "0123456789*#ABCD"


@pytest.mark.parametrize("way", ["try", "wide", "socket"])
async def test_caller_hangs_up_and_the_call_is_over_within_a_second(
    asterisk: Asterisk, talkspurt: Talkspurt, api: CallsApi, call_id: str, way: str
) -> None:
    async with dial(asterisk.sip_address, talkspurt.extension(way, call_id)) as call:
        await call.until_voice(ANSWER_S)
        assert call_id in await api.active()
        await call.hang_up()

        async def gone() -> bool:
            return call_id not in await api.active()

        assert call.ended_s is not None
        await eventually(gone, timeout_s=call.ended_s + 1 - time.monotonic())
    assert (await api.call(call_id))["end_reason"] == "caller hung up"


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("try", {"TryStatus": "SUCCESS"}),
        ("app", {}),
        ("wide", {"TryStatus": "SUCCESS", "DialStatus": "ANSWER"}),
        ("socket", {"TryStatus": "SUCCESS", "DialStatus": "ANSWER"}),
    ],
)
async def test_our_hangup_finishes_the_sentence_and_gives_the_call_back(
    asterisk: Asterisk, talkspurt: Talkspurt, ari: Ari, api: CallsApi, call_id: str, way: str, told: dict[str, str]
) -> None:
    async with dial(asterisk.sip_address, talkspurt.extension(way, call_id)) as call:
        await call.until_voice(ANSWER_S)
        await api.hang_up(call_id)
        assert (await ari.went_on(call_id)).items() >= told.items()
        await until_tone(call)
        words = await recognise(call.heard().pcm, call.codec.rate_hz)
    assert normalise(words).startswith(normalise(GREETING))


@pytest.mark.parametrize(("way", "told"), [("try", {"TryStatus": "FAILED"}), ("wide", {"DialStatus": "CHANUNAVAIL"})])
async def test_server_down_and_the_dialplan_goes_on(
    asterisk: Asterisk, ari: Ari, call_id: str, way: str, told: dict[str, str]
) -> None:
    async with dial(asterisk.sip_address, f"{way}-{free_port()}-{call_id}") as call:
        assert (await ari.went_on(call_id)).items() >= told.items()
        await until_tone(call)


async def test_server_killed_in_mid_call_and_the_dialplan_goes_on(asterisk: Asterisk, ari: Ari, tmp_path: Path) -> None:
    with running(tmp_path, GREETING=GREETING) as server:
        calls = {way: str(uuid.uuid4()) for way in ("try", "wide")}
        async with (
            dial(asterisk.sip_address, server.extension("try", calls["try"])) as one,
            dial(asterisk.sip_address, server.extension("wide", calls["wide"])) as other,
        ):
            await one.until_voice(ANSWER_S)
            await other.until_voice(ANSWER_S)
            server.kill()
            for way, call in (("try", one), ("wide", other)):
                await ari.went_on(calls[way])
                await until_tone(call)
            assert hears_tone(one)
            assert hears_tone(other)


@pytest.mark.parametrize("way", ["try", "socket"])
async def test_interrupt_silences_the_line_and_the_packets_go_on(
    asterisk: Asterisk, talkspurt: Talkspurt, api: CallsApi, call_id: str, way: str
) -> None:
    story = "This is a long story about a telephone line that nobody ever wanted to repair. " * 4
    async with dial(asterisk.sip_address, talkspurt.extension(way, call_id)) as call:
        await call.until_voice(ANSWER_S)
        await api.interrupt(call_id)
        quiet = await call.until_quiet(PAUSE_S, ANSWER_S, after=len(call.packets))
        await api.say(call_id, story)
        begun = await call.until_voice(ANSWER_S, after=quiet)
        await call.until(lambda: len(call.packets) >= begun + 100, ANSWER_S)

        answer = await api.interrupt(call_id)
        answered_s, so_far = time.monotonic(), len(call.packets)
        silent_from = await call.until_quiet(2.0, ANSWER_S, after=so_far)
        assert call.packets[silent_from].arrival_s - answered_s < 0.25  # one tick, and a busy machine
        assert answer["interrupted"]
        assert story.startswith(answer["text"].rstrip(" …—"))
        assert 10 < len(answer["text"]) < len(story) / 2
        assert await api.interrupt(call_id) == {"interrupted": False}
    sequences = [packet.sequence for packet in call.packets[so_far : silent_from + 100]]
    assert np.all(np.diff(np.unwrap(sequences, period=2**16)) == 1)
