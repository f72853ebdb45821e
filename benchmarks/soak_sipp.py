"""Calls by SIPp through a real Asterisk, for the soak: each speaks for a while, hangs up, and the next one comes."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.soak_neighbours import SILENT_S
from bridge.converse.server_process import ServerProcess
from engine.speech import Pcm
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.fetch import fetch
from tests.support.g711 import ulaw_encode

SHORTEST_MS, LONGEST_MS = 5_000, 60_000
RATE_DIVISOR: Final = 10
"""All calls are up within so many seconds."""
SCENARIO: Final = """<?xml version="1.0" encoding="UTF-8"?>
<scenario name="a caller">
  <send retrans="500"><![CDATA[
INVITE sip:[field0]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:soak@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:[field0]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:soak@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=soak 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [rtpstream_audio_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200"/>
  <send><![CDATA[
ACK sip:[field0]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:soak@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:[field0]@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
  <nop><action><exec rtp_stream="@SOUND@,-1,0"/></action></nop>
  <pause distribution="uniform" min="@SHORTEST@" max="@LONGEST@"/>
  <send retrans="500"><![CDATA[
BYE sip:[field0]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:soak@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:[field0]@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
  <recv response="200"/>
</scenario>
"""


@asynccontextmanager
async def sipp_calls(server: ServerProcess, calls: int, seconds: float, sound: Pcm) -> AsyncIterator[None]:
    """Has SIPp call the server through an Asterisk, so many calls at once, until the end of the block."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        asterisk = Asterisk(await asyncio.to_thread(fetch), folder / "a")
        await asyncio.to_thread(asterisk.start)
        process = None
        try:
            process = await asyncio.to_thread(_start, asterisk, server.port, calls, seconds, sound, folder)
            yield
        finally:
            if process is not None:
                process.terminate()
                await asyncio.to_thread(process.wait)
            await asyncio.to_thread(asterisk.stop)


def _start(
    asterisk: Asterisk, port: int, calls: int, seconds: float, sound: Pcm, folder: Path
) -> subprocess.Popen[bytes]:
    total = round(calls * (seconds / (SHORTEST_MS / 1000) + 2))
    (folder / "said.ul").write_bytes(ulaw_encode(np.concatenate((sound, np.zeros(round(8_000 * SILENT_S), np.int16)))))
    extensions = "\n".join(f"app-{port}-{uuid.uuid4()};" for _ in range(total))
    (folder / "calls.csv").write_text(f"SEQUENTIAL\n{extensions}\n")
    text = SCENARIO.replace("@SOUND@", str(folder / "said.ul"))
    text = text.replace("@SHORTEST@", str(SHORTEST_MS)).replace("@LONGEST@", str(LONGEST_MS))
    (folder / "caller.xml").write_text(text)
    host, sip_port = asterisk.sip_address
    rate = max(1, calls // RATE_DIVISOR)
    command = ["sipp", f"{host}:{sip_port}", "-sf", "caller.xml", "-inf", "calls.csv", "-i", host, "-mi", host]
    command += ["-l", str(calls), "-r", str(rate), "-m", str(total), "-nostdin", "-trace_err"]
    with (folder / "sipp.log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
