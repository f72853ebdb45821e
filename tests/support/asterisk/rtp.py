"""A phone's sound: its codecs, the packets that come, and what a jitter buffer makes of them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from engine.audio import alaw_encode, ulaw_encode
from engine.speech import Pcm
from tests.support.g711 import alaw_decode, ulaw_decode

FRAME_S = 0.02
TELEPHONE_EVENT = 101
DTMF_DIGITS = "0123456789*#ABCD"
DIGIT_FRAMES = 5
PAUSE_FRAMES = 5
END_REPEATS = 3  # RFC 4733: the end of a digit is sent three times
VOICED_PEAK = 100  # of 32768; a G.711 silence decodes to 8 at most


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


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What one packet is to carry."""

    payload: bytes
    digit_began: int | None = None
    """Frame number of the digit's start where this is a piece of a digit: all its packets carry one timestamp."""


def silence(codec: Codec) -> Outgoing:
    """Returns a frame in which nobody speaks."""
    return Outgoing(codec.encode(np.zeros(codec.frame_samples, np.int16)))


def speech(codec: Codec, pcm: Pcm) -> Iterator[Outgoing]:
    """Yields the frames of `pcm`, which is at the codec's rate."""
    samples = codec.frame_samples
    padded = np.concatenate([pcm, np.zeros(-len(pcm) % samples, np.int16)])
    for start in range(0, len(padded), samples):
        yield Outgoing(codec.encode(padded[start : start + samples]))


def key(codec: Codec, digit: str) -> Iterator[Outgoing]:
    """Yields the RFC 4733 event of a key that is pressed and released, and the pause after it."""
    event = DTMF_DIGITS.index(digit)
    for piece in range(1, DIGIT_FRAMES + END_REPEATS):
        end = 0x80 if piece >= DIGIT_FRAMES else 0
        duration = min(piece, DIGIT_FRAMES) * codec.frame_samples
        yield Outgoing(struct.pack(">BBH", event, end | 10, duration), digit_began=piece - 1)
    for _ in range(PAUSE_FRAMES):
        yield silence(codec)


def write(piece: Outgoing, codec: Codec, frame: int, sequence: int, timestamp: int, ssrc: int) -> bytes:
    """Returns the packet with number `frame` of a stream that begins with `sequence` and `timestamp`."""
    began = piece.digit_began
    payload_type = codec.payload_type if began is None else TELEPHONE_EVENT
    marker = frame == 0 or began == 0
    at = timestamp + (frame - (began or 0)) * codec.frame_samples
    fields = (0x80, marker << 7 | payload_type, (sequence + frame) % 2**16, at % 2**32, ssrc)
    return struct.pack(">BBHII", *fields) + piece.payload


def read(datagram: bytes, codec: Codec, arrival_s: float) -> RtpPacket | None:
    """Returns the packet, or None where it is not of the codec's sound."""
    first, second, sequence, timestamp, _ssrc = struct.unpack_from(">BBHII", datagram)
    if second & 0x7F != codec.payload_type:
        return None
    pcm = codec.decode(datagram[12 + 4 * (first & 0x0F) :])
    return RtpPacket(arrival_s, sequence, timestamp, second & 0x7F, bool(second >> 7), pcm)


def played(packets: Sequence[RtpPacket], rate_hz: int, buffer_s: float = 0.06, depth_s: float = 0.5) -> Heard:
    """Returns what the earpiece plays of `packets`, from the first one's turn on.

    Packets are laid on the time line by RTP timestamp, the first played `buffer_s` after it came, and anew at each
    marker. One that comes after its turn is lost, and so is one that comes more than `depth_s` before it.
    """
    in_turn: dict[int, Pcm] = {}
    late = overflowed = 0
    start_s = 0.0
    base: tuple[float, int] | None = None
    for packet in packets:
        if base is None or packet.marker:
            base = packet.arrival_s + buffer_s, packet.timestamp
            start_s = start_s or base[0]
        elapsed = (packet.timestamp - base[1] + 2**31) % 2**32 - 2**31
        turn_s = base[0] + elapsed / rate_hz
        if turn_s < packet.arrival_s:
            late += 1
        elif turn_s - packet.arrival_s > depth_s:
            overflowed += 1
        else:
            in_turn[round((turn_s - start_s) * rate_hz)] = packet.pcm
    line = np.zeros(max((at + len(pcm) for at, pcm in in_turn.items()), default=0), np.int16)
    for at, pcm in in_turn.items():
        line[max(at, 0) : max(at + len(pcm), 0)] = pcm[max(-at, 0) :]
    return Heard(line, late, overflowed)
