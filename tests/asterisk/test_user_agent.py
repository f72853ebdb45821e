"""A call from a SIP user agent that is not ours: PJSIP, as it is in many telephones."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.asterisk.ari import Ari
from tests.asterisk.conftest import GREETING
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.talkspurt import CallsApi, Talkspurt
from tests.support.recognition import normalise, read_wav, recognise
from tests.support.waiting import eventually

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.skipif(
    importlib.util.find_spec("pjsua2") is None and os.environ.get("CI") != "true",
    reason="pjsua2-python has no wheel for this Python on this machine",
)
async def test_greeting_and_keys(
    asterisk: Asterisk, talkspurt: Talkspurt, ari: Ari, api: CallsApi, call_id: str, tmp_path: Path
) -> None:
    recording = tmp_path / "heard.wav"
    uri = f"sip:{talkspurt.extension('try', call_id)}@127.0.0.1:{asterisk.sip_port}"
    phone = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.asterisk.pjsua_phone", uri, str(recording), stdin=PIPE, stdout=PIPE, cwd=REPOSITORY
    )
    assert phone.stdin is not None

    async def until_printed(wanted: bytes) -> None:
        assert phone.stdout is not None
        while line := await phone.stdout.readline():  # PJSIP prints on it too
            if line == wanted:
                return
        raise AssertionError(f"the phone did not print {wanted!r}")

    try:
        async with asyncio.timeout(60):
            await until_printed(b"answered\n")
            await talkspurt.logged("call started", 30, call=call_id)
            await api.until_speaking(call_id, 30)
            await api.until_silent(call_id, 30)
            phone.stdin.write(b"press 42#\n")

            async def arrived() -> bool:
                return bool((await api.call(call_id))["dtmf"] == "42#")

            await eventually(arrived, 30)
            await api.hang_up(call_id)
            await ari.went_on(call_id)
            phone.stdin.write(b"hang up\n")
            await until_printed(b"ended\n")
            assert await phone.wait() == 0
    finally:
        if phone.returncode is None:
            phone.kill()
            await phone.wait()
    assert normalise(await recognise(*read_wav(recording))).startswith(normalise(GREETING))
