"""A SIP phone for tests: one call over UDP on loopback, RTP on the 20 ms grid, every packet it gets with its arrival.

async with dial(asterisk.sip_address, "echo") as call:
    await call.play(pcm)
    await call.send_dtmf("15#")
    heard = call.heard()
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from engine.speech import Pcm
from tests.support.asterisk import rtp
from tests.support.asterisk.rtp import FRAME_S, PCMU, Codec, Heard, RtpPacket
from tests.support.asterisk.sip_message import SipMessage

Address = tuple[str, int]

MAX_LATENESS_S = 0.06  # later than this, a phone's clock is set anew; it does not send what it missed in one go
SIP_TIMEOUT_S = 20.0
SO_TIMESTAMPNS = 35  # of Linux; the module socket does not name it


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, receive: Callable[[bytes], None]) -> None:
        self._receive = receive

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._receive(data)


@asynccontextmanager
async def dial(
    server: Address, extension: str, codec: Codec = PCMU, caller: str = "2001", name: str = ""
) -> AsyncIterator[SipCall]:
    """Calls and waits for the answer; leaving the block hangs up. Raises ConnectionRefusedError when not answered."""
    call = SipCall(server, extension, codec, caller, name)
    try:
        await call._invite()
        yield call
        await call.hang_up()
    finally:
        await call._close()


@dataclass
class SipCall:
    """One call. Between answer and end it sends a packet every 20 ms: what is played, else silence."""

    server: Address
    extension: str
    codec: Codec
    caller: str
    name: str = ""
    """Without double quotes."""
    packets: list[RtpPacket] = field(default_factory=list)
    """Every audio packet heard, in order of arrival."""
    answered_s: float = 0.0
    ended_s: float | None = None
    """When the BYE came or was sent; None while the call lives."""
    bye: SipMessage | None = None
    """The other side's BYE."""

    def __post_init__(self) -> None:
        self._call_id = f"{random.getrandbits(64):x}@127.0.0.1"
        self._tag = f"{random.getrandbits(32):x}"
        self._uri = self._target = f"sip:{self.extension}@{self.server[0]}:{self.server[1]}"
        self._to = f"<{self._uri}>"
        self._cseq = 0
        self._invite_branch = ""
        self._answer: asyncio.Future[SipMessage] = asyncio.get_running_loop().create_future()
        self._bye_confirmed = asyncio.Event()
        self._referred: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._changed = asyncio.Event()
        self._outgoing: deque[rtp.Outgoing] = deque()
        self._all_sent = asyncio.Event()
        self._all_sent.set()
        self._sip: asyncio.DatagramTransport | None = None
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sender: asyncio.Task[None] | None = None

    # What the person at the phone does

    async def play(self, pcm: Pcm) -> None:
        """Says `pcm`, at the codec's rate; returns when the last of it is sent."""
        await self._send(rtp.speech(self.codec, pcm))

    async def send_dtmf(self, digits: str) -> None:
        """Presses keys as RFC 4733 events; returns when the last is released."""
        for digit in digits:
            await self._send(rtp.key(self.codec, digit))

    async def hang_up(self) -> None:
        """Says BYE and waits until it is confirmed. Nothing if the call is over."""
        if self.ended_s is not None:
            return
        self._end()
        self._cseq += 1
        self._send_request("BYE", self._target)
        async with asyncio.timeout(SIP_TIMEOUT_S):
            await self._bye_confirmed.wait()

    async def transfer(self, to: str | SipCall) -> int:
        """Asks Asterisk to send the other side to an extension, or into another call of this phone.

        Returns the status that Asterisk answers.
        """
        target = f"sip:{to}@{self.server[0]}:{self.server[1]}" if isinstance(to, str) else to._as_target()
        self._referred = asyncio.get_running_loop().create_future()
        self._cseq += 1
        self._send_request("REFER", self._target, headers=[f"Refer-To: <{target}>"])
        async with asyncio.timeout(SIP_TIMEOUT_S):
            return await self._referred

    def _as_target(self) -> str:
        remote_tag = self._to.rpartition(";tag=")[2]
        dialog = f"{self._call_id};to-tag={remote_tag};from-tag={self._tag}"
        return f"{self._uri}?Replaces={quote(dialog, safe='')}"

    # What the person hears

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Waits until `condition`, looked at with every packet that comes, is true. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_voice(self, timeout_s: float, after: int = 0) -> int:
        """Waits for a voiced packet at or after index `after` of `packets`; returns its index."""
        found = after

        def heard_voice() -> bool:
            nonlocal found
            while found < len(self.packets) and not self.packets[found].is_voiced:
                found += 1
            return found < len(self.packets)

        await self.until(heard_voice, timeout_s)
        return found

    async def until_quiet(self, quiet_s: float, timeout_s: float, after: int = 0) -> int:
        """Waits for `quiet_s` of packets without voice, from index `after` on; returns the index of the first."""
        needed = round(quiet_s / FRAME_S)
        scanned = first = after

        def heard_quiet() -> bool:
            nonlocal scanned, first
            while scanned < len(self.packets) and scanned - first < needed:
                scanned += 1
                if self.packets[scanned - 1].is_voiced:
                    first = scanned
            return scanned - first >= needed

        await self.until(heard_quiet, timeout_s)
        return first

    async def until_ended(self, timeout_s: float) -> None:
        """Waits for the other side to hang up."""
        await self.until(lambda: self.ended_s is not None, timeout_s)

    def heard(self, packets: Sequence[RtpPacket] | None = None, buffer_s: float = 0.06, depth_s: float = 0.5) -> Heard:
        """Returns what the earpiece plays of `packets`, of all of them if not told: see `rtp.played`."""
        return rtp.played(self.packets if packets is None else packets, self.codec.rate_hz, buffer_s, depth_s)

    # SIP

    async def _invite(self) -> None:
        loop = asyncio.get_running_loop()
        local = ("127.0.0.1", 0)
        self._sip, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self._receive_sip), local_addr=local)
        self._rtp.setblocking(False)
        self._rtp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._rtp.bind(local)
        loop.add_reader(self._rtp, self._receive_rtp)
        codec, port = self.codec, self._rtp.getsockname()[1]
        offer = [
            "v=0",
            "o=- 1 1 IN IP4 127.0.0.1",
            "s=-",
            "c=IN IP4 127.0.0.1",
            "t=0 0",
            f"m=audio {port} RTP/AVP {codec.payload_type} {rtp.TELEPHONE_EVENT}",
            f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.rate_hz}",
            f"a=rtpmap:{rtp.TELEPHONE_EVENT} telephone-event/{codec.rate_hz}",
            f"a=fmtp:{rtp.TELEPHONE_EVENT} 0-15",
            "a=ptime:20",
            "a=sendrecv",
        ]
        self._cseq += 1
        self._invite_branch = self._send_request("INVITE", self._uri, body="\r\n".join(offer) + "\r\n")
        async with asyncio.timeout(SIP_TIMEOUT_S):
            answer = await self._answer
        self.answered_s = time.monotonic()
        address, port = re.search(r"c=IN IP4 (\S+)", answer.body), re.search(r"m=audio (\d+)", answer.body)
        if address is None or port is None:
            raise ConnectionRefusedError(f"no audio in the answer: {answer.body}")
        self._sender = asyncio.create_task(self._send_rtp((address[1], int(port[1]))))

    def _send_request(
        self, method: str, uri: str, body: str = "", branch: str = "", cseq: int = 0, headers: Sequence[str] = ()
    ) -> str:
        assert self._sip is not None
        host, port = self._sip.get_extra_info("sockname")
        branch = branch or f"z9hG4bK{random.getrandbits(64):x}"
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch={branch};rport",
            "Max-Forwards: 70",
            f'From: "{self.name}" <sip:{self.caller}@{host}>;tag={self._tag}',
            f"To: {self._to}",
            f"Call-ID: {self._call_id}",
            f"CSeq: {cseq or self._cseq} {method}",
            f"Contact: <sip:{self.caller}@{host}:{port}>",
            *headers,
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self._sip.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), self.server)
        return branch

    def _receive_sip(self, datagram: bytes) -> None:
        message = SipMessage.parse(datagram)
        if message.start_line.startswith("SIP/2.0 "):
            self._receive_response(message)
            return
        self._confirm(message)
        if message.start_line.startswith("BYE ") and self.ended_s is None:
            self.bye = message
            self._end()

    def _receive_response(self, message: SipMessage) -> None:
        status = int(message.start_line.split()[1])
        cseq, method = message["cseq"].split()
        if method == "BYE" and status >= 200:
            self._bye_confirmed.set()
        if method == "REFER" and not self._referred.done():
            self._referred.set_result(status)
        if method != "INVITE" or status < 200:
            return
        self._to = message["to"]
        if status >= 300:
            self._send_request("ACK", self._uri, branch=self._invite_branch, cseq=int(cseq))
            if not self._answer.done():
                self._answer.set_exception(ConnectionRefusedError(message.start_line))
            return
        if contact := re.search(r"<([^>]+)>", message["contact"]):
            self._target = contact[1]
        self._send_request("ACK", self._target, cseq=int(cseq))
        if not self._answer.done():
            self._answer.set_result(message)

    def _confirm(self, request: SipMessage) -> None:
        assert self._sip is not None
        lines = [
            "SIP/2.0 200 OK",
            *(f"Via: {via}" for via in request.all("via")),
            *(f"{name}: {request[name.lower()]}" for name in ("From", "To", "Call-ID", "CSeq")),
            "Content-Length: 0",
        ]
        if not request.start_line.startswith("ACK "):
            self._sip.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), self.server)

    def _end(self) -> None:
        self.ended_s = time.monotonic()
        self._outgoing.clear()
        self._all_sent.set()
        self._changed.set()

    async def _close(self) -> None:
        if self._sender is not None:
            self._sender.cancel()
            with suppress(asyncio.CancelledError):
                await self._sender
        if self._sip is not None:
            self._sip.close()
        asyncio.get_running_loop().remove_reader(self._rtp)
        self._rtp.close()

    # RTP

    async def _send(self, pieces: Iterable[rtp.Outgoing]) -> None:
        if self.ended_s is not None:
            return
        self._outgoing.extend(pieces)
        self._all_sent.clear()
        await self._all_sent.wait()

    async def _send_rtp(self, peer: Address) -> None:
        silence = rtp.silence(self.codec)
        ssrc, sequence, timestamp = (random.getrandbits(bits) for bits in (32, 15, 31))
        began_s = time.monotonic()
        frame = 0
        while self.ended_s is None:
            piece = self._outgoing.popleft() if self._outgoing else silence
            self._rtp.sendto(rtp.write(piece, self.codec, frame, sequence, timestamp, ssrc), peer)
            if not self._outgoing:
                self._all_sent.set()
            frame += 1
            lateness_s = time.monotonic() - (began_s + frame * FRAME_S)
            if lateness_s > MAX_LATENESS_S:
                began_s += lateness_s
            await asyncio.sleep(max(0.0, -lateness_s))

    def _receive_rtp(self) -> None:
        boot_s = time.time() - time.monotonic()
        while True:
            try:
                datagram, ancillary, _, _ = self._rtp.recvmsg(2048, 64)
            except BlockingIOError:
                break
            # The kernel's time of arrival: a phone does not wait for its turn among this machine's processes.
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            packet = rtp.read(datagram, self.codec, seconds + nanoseconds / 1e9 - boot_s)
            if packet is not None:
                self.packets.append(packet)
        self._changed.set()
