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
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np

from engine.audio import alaw_encode, ulaw_encode
from engine.speech import Pcm
from tests.support.g711 import alaw_decode, ulaw_decode

Address = tuple[str, int]

FRAME_S = 0.02
TELEPHONE_EVENT = 101
DTMF_DIGITS = "0123456789*#ABCD"
DIGIT_FRAMES = 5
PAUSE_FRAMES = 5
END_REPEATS = 3  # RFC 4733: the end of a digit is sent three times
MAX_LATENESS_S = 0.06  # later than this, a phone's clock is set anew; it does not send what it missed in one go
VOICED_PEAK = 100  # of 32768; a G.711 silence decodes to 8 at most
SIP_TIMEOUT_S = 20.0
SO_TIMESTAMPNS = 35  # of Linux; the module socket does not name it


@dataclass(frozen=True, slots=True)
class Codec:
    """How this phone's audio is sent."""

    name: str
    payload_type: int
    rate_hz: int
    encode: Callable[[Pcm], bytes]
    decode: Callable[[bytes], Pcm]

    @property
    def frame_samples(self) -> int:
        return round(self.rate_hz * FRAME_S)


PCMU = Codec("PCMU", 0, 8_000, ulaw_encode, ulaw_decode)
PCMA = Codec("PCMA", 8, 8_000, alaw_encode, alaw_decode)
L16_WIDEBAND = Codec(
    "L16", 118, 16_000, lambda x: x.astype(">i2").tobytes(), lambda b: np.frombuffer(b, ">i2").astype(np.int16)
)


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet as it came."""

    arrival_s: float
    """On time.monotonic()'s scale."""
    sequence: int
    timestamp: int
    payload_type: int
    marker: bool
    pcm: Pcm

    @property
    def is_voiced(self) -> bool:
        return bool(self.pcm.size) and int(np.abs(self.pcm.astype(np.int32)).max()) > VOICED_PEAK


@dataclass(frozen=True, slots=True)
class Heard:
    """What a phone with a fixed jitter buffer plays."""

    pcm: Pcm
    late_packets: int
    """Came after their turn: not played."""
    overflowed_packets: int
    """Came when the buffer was full: not played."""


@dataclass(slots=True)
class _Outgoing:
    payload: bytes
    digit_began: int | None = None
    """Frame number of the digit's start where this is a piece of a digit: all its packets carry one timestamp."""


@dataclass(slots=True)
class _SipMessage:
    start_line: str
    headers: list[tuple[str, str]]
    body: str

    @classmethod
    def parse(cls, datagram: bytes) -> _SipMessage:
        head, _, body = datagram.decode(errors="replace").partition("\r\n\r\n")
        start_line, *lines = head.split("\r\n")
        pairs = [line.partition(":")[::2] for line in lines]
        return cls(start_line, [(name.strip().lower(), value.strip()) for name, value in pairs], body)

    def all(self, name: str) -> list[str]:
        return [value for header, value in self.headers if header == name]

    def __getitem__(self, name: str) -> str:
        return self.all(name)[0]


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
    bye: _SipMessage | None = None
    """The other side's BYE."""

    def __post_init__(self) -> None:
        self._call_id = f"{random.getrandbits(64):x}@127.0.0.1"
        self._tag = f"{random.getrandbits(32):x}"
        self._uri = self._target = f"sip:{self.extension}@{self.server[0]}:{self.server[1]}"
        self._to = f"<{self._uri}>"
        self._cseq = 0
        self._invite_branch = ""
        self._answer: asyncio.Future[_SipMessage] = asyncio.get_running_loop().create_future()
        self._bye_confirmed = asyncio.Event()
        self._referred: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._changed = asyncio.Event()
        self._outgoing: deque[_Outgoing] = deque()
        self._all_sent = asyncio.Event()
        self._all_sent.set()
        self._sip: asyncio.DatagramTransport | None = None
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sender: asyncio.Task[None] | None = None

    # What the person at the phone does

    async def play(self, pcm: Pcm) -> None:
        """Says `pcm`, at the codec's rate; returns when the last of it is sent."""
        samples = self.codec.frame_samples
        padded = np.concatenate([pcm, np.zeros(-len(pcm) % samples, np.int16)])
        frames = [padded[start : start + samples] for start in range(0, len(padded), samples)]
        await self._send(_Outgoing(self.codec.encode(frame)) for frame in frames)

    async def send_dtmf(self, digits: str) -> None:
        """Presses keys as RFC 4733 events; returns when the last is released."""
        silence = self.codec.encode(np.zeros(self.codec.frame_samples, np.int16))
        for digit in digits:
            event = DTMF_DIGITS.index(digit)
            pieces = []
            for piece in range(1, DIGIT_FRAMES + END_REPEATS):
                end = 0x80 if piece >= DIGIT_FRAMES else 0
                duration = min(piece, DIGIT_FRAMES) * self.codec.frame_samples
                pieces.append(_Outgoing(struct.pack(">BBH", event, end | 10, duration), digit_began=piece - 1))
            await self._send(pieces + [_Outgoing(silence)] * PAUSE_FRAMES)

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
        """What the earpiece plays of `packets` (all of them, if not told), from the first one's turn on.

        Packets are laid on the time line by RTP timestamp, the first played `buffer_s` after it came, and anew at each
        marker. One that comes after its turn is lost, and so is one that comes more than `depth_s` before it.
        """
        played: dict[int, Pcm] = {}
        late = overflowed = 0
        start_s = 0.0
        base: tuple[float, int] | None = None
        for packet in self.packets if packets is None else packets:
            if base is None or packet.marker:
                base = packet.arrival_s + buffer_s, packet.timestamp
                start_s = start_s or base[0]
            elapsed = (packet.timestamp - base[1] + 2**31) % 2**32 - 2**31
            turn_s = base[0] + elapsed / self.codec.rate_hz
            if turn_s < packet.arrival_s:
                late += 1
            elif turn_s - packet.arrival_s > depth_s:
                overflowed += 1
            else:
                played[round((turn_s - start_s) * self.codec.rate_hz)] = packet.pcm
        line = np.zeros(max((at + len(pcm) for at, pcm in played.items()), default=0), np.int16)
        for at, pcm in played.items():
            line[max(at, 0) : max(at + len(pcm), 0)] = pcm[max(-at, 0) :]
        return Heard(line, late, overflowed)

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
            f"m=audio {port} RTP/AVP {codec.payload_type} {TELEPHONE_EVENT}",
            f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.rate_hz}",
            f"a=rtpmap:{TELEPHONE_EVENT} telephone-event/{codec.rate_hz}",
            f"a=fmtp:{TELEPHONE_EVENT} 0-15",
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
        message = _SipMessage.parse(datagram)
        if message.start_line.startswith("SIP/2.0 "):
            self._receive_response(message)
            return
        self._confirm(message)
        if message.start_line.startswith("BYE ") and self.ended_s is None:
            self.bye = message
            self._end()

    def _receive_response(self, message: _SipMessage) -> None:
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

    def _confirm(self, request: _SipMessage) -> None:
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

    async def _send(self, pieces: Any) -> None:
        if self.ended_s is not None:
            return
        self._outgoing.extend(pieces)
        self._all_sent.clear()
        await self._all_sent.wait()

    async def _send_rtp(self, peer: Address) -> None:
        silence = _Outgoing(self.codec.encode(np.zeros(self.codec.frame_samples, np.int16)))
        ssrc, first_sequence, first_timestamp = (random.getrandbits(bits) for bits in (32, 15, 31))
        began_s = time.monotonic()
        frame = 0
        while self.ended_s is None:
            piece = self._outgoing.popleft() if self._outgoing else silence
            is_digit = piece.digit_began is not None
            payload_type = TELEPHONE_EVENT if is_digit else self.codec.payload_type
            marker = frame == 0 or piece.digit_began == 0
            timestamp = first_timestamp + (frame - (piece.digit_began or 0)) * self.codec.frame_samples
            header = struct.pack(
                ">BBHII",
                0x80,
                marker << 7 | payload_type,
                (first_sequence + frame) % 2**16,
                timestamp % 2**32,
                ssrc,
            )
            self._rtp.sendto(header + piece.payload, peer)
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
            first, second, sequence, timestamp, _ssrc = struct.unpack_from(">BBHII", datagram)
            if second & 0x7F != self.codec.payload_type:
                continue
            arrival_s = seconds + nanoseconds / 1e9 - boot_s
            pcm = self.codec.decode(datagram[12 + 4 * (first & 0x0F) :])
            self.packets.append(RtpPacket(arrival_s, sequence, timestamp, second & 0x7F, bool(second >> 7), pcm))
        self._changed.set()
