"""Encodes PCM as it is made for HTTP clients: WAV, raw, G.711, and FFmpeg's MP3, AAC, FLAC and Ogg Opus."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import av
import numpy as np

from engine.audio import alaw_encode, ulaw_encode
from engine.speech import Pcm

FormatName = Literal["mp3", "opus", "aac", "flac", "wav", "pcm", "ogg", "mulaw", "alaw"]

SAMPLE_RATES_HZ: Final = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
MIN_RATE_HZ: Final = SAMPLE_RATES_HZ[0]
MAX_RATE_HZ: Final = SAMPLE_RATES_HZ[-1]
OPUS_RATES_HZ: Final = (8000, 12000, 16000, 24000, 48000)
G711_RATE_HZ: Final = 8000
UNKNOWN_SIZE: Final = 0xFFFFFFFF
"""The size in a WAV header where the length is not known yet; players then read to the end."""
# Bits a second for one voice: where more is no longer heard. MP3 has steps, and fewer of them below 16 kHz.
OPUS_BITRATE: Final = 32_000
LOSSY_BITRATES: Final = ((12_000, 32_000), (16_000, 48_000), (24_000, 64_000), (48_000, 96_000))
# STREAMINFO follows "fLaC" and a block header, 8 bytes; the total of samples is its bits 108 to 143.
FLAC_TOTAL_AT: Final = 21


@dataclass(frozen=True, slots=True)
class Format:
    """One `response_format`: what it is called on the wire and which rates it can carry."""

    name: FormatName
    media_type: str
    rates_hz: tuple[int, ...] = SAMPLE_RATES_HZ
    own_rate_hz: int | None = None
    """The rate where the client asks for none; None means the engine's."""
    states_length: bool = False
    """Whether the length stands at the stream's beginning, where players look for it."""
    delay_samples: int = 0
    """By how much the decoded audio is later, in samples; a decoder cannot tell it from the stream."""
    takes_time: bool = False
    """Whether encoding takes so long, a millisecond or two for 200 ms of audio, that it is kept off the event loop."""

    def rate_hz(self, engine_hz: int, asked_hz: int | None = None) -> int:
        """Returns the rate to send at: the one asked for, or the engine's, or the next higher one of this format."""
        wanted_hz = asked_hz or self.own_rate_hz or engine_hz
        return min((rate for rate in self.rates_hz if rate >= wanted_hz), default=self.rates_hz[-1])


FORMATS: Final[dict[FormatName, Format]] = {
    "mp3": Format("mp3", "audio/mpeg", delay_samples=1105, takes_time=True),
    "opus": Format("opus", "audio/ogg", OPUS_RATES_HZ, takes_time=True),
    "aac": Format("aac", "audio/aac", delay_samples=1024, takes_time=True),
    "flac": Format("flac", "audio/flac", states_length=True, takes_time=True),
    "wav": Format("wav", "audio/wav", states_length=True),
    "pcm": Format("pcm", "audio/pcm"),
    "ogg": Format("ogg", "audio/ogg", OPUS_RATES_HZ, takes_time=True),
    "mulaw": Format("mulaw", "audio/PCMU", own_rate_hz=G711_RATE_HZ),
    "alaw": Format("alaw", "audio/PCMA", own_rate_hz=G711_RATE_HZ),
}


class Encoder(ABC):
    """Takes PCM piece by piece and gives back bytes of one stream."""

    @abstractmethod
    def encode(self, pcm: Pcm) -> bytes:
        """Returns the bytes that are ready after these samples, maybe none."""

    def finish(self) -> bytes:
        """Returns what is left. It is called once, at the end."""
        return b""


def create_encoder(form: Format, rate_hz: int) -> Encoder:
    """Returns an encoder of one mono stream at `rate_hz`, which is one of the format's rates."""
    match form.name:
        case "wav":
            return _Wav(rate_hz)
        case "pcm":
            return _Samples(lambda pcm: pcm.astype("<i2").tobytes())
        case "mulaw":
            return _Samples(ulaw_encode)
        case "alaw":
            return _Samples(alaw_encode)
        case "mp3":
            return _Ffmpeg("mp3", "libmp3lame", rate_hz, _bitrate(rate_hz), {"write_xing": "0", "id3v2_version": "0"})
        case "aac":
            return _Ffmpeg("adts", "aac", rate_hz, _bitrate(rate_hz))
        case "flac":
            return _Ffmpeg("flac", "flac", rate_hz)
        case "opus" | "ogg":  # the page duration, in µs, is how soon audio leaves; by default Ogg gathers a second
            return _Ffmpeg("ogg", "libopus", rate_hz, OPUS_BITRATE, {"page_duration": "20000"})


def wav_header(rate_hz: int, data_bytes: int = UNKNOWN_SIZE) -> bytes:
    """Returns the 44 bytes that come before `data_bytes` of mono PCM16."""
    riff_bytes = UNKNOWN_SIZE if data_bytes == UNKNOWN_SIZE else data_bytes + 36
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, rate_hz * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", riff_bytes, b"WAVE") + fmt + struct.pack("<4sI", b"data", data_bytes)


def state_length(form: Format, rate_hz: int, data: bytes, samples: int) -> bytes:
    """Returns a finished stream with its length written where the format has a place for it; it was unknown before."""
    if form.name == "wav":
        header = wav_header(rate_hz, len(data) - 44)
        return header + data[len(header) :]
    if form.name == "flac":
        total = struct.pack(">Q", samples)[3:]  # 40 bits, of which the first four belong to the sample size before it
        first = data[FLAC_TOTAL_AT] & 0xF0 | total[0] & 0x0F
        return data[:FLAC_TOTAL_AT] + bytes((first,)) + total[1:] + data[FLAC_TOTAL_AT + 5 :]
    return data


def _bitrate(rate_hz: int) -> int:
    return next(bits for up_to_hz, bits in LOSSY_BITRATES if rate_hz <= up_to_hz)


class _Samples(Encoder):
    """An encoder without a header, which encodes every sample by itself."""

    def __init__(self, encode: Callable[[Pcm], bytes]) -> None:
        self._encode = encode

    def encode(self, pcm: Pcm) -> bytes:
        return self._encode(pcm)


class _Wav(Encoder):
    def __init__(self, rate_hz: int) -> None:
        self._header = wav_header(rate_hz)

    def encode(self, pcm: Pcm) -> bytes:
        header, self._header = self._header, b""
        return header + pcm.astype("<i2").tobytes()


class _Sink:
    """A file that FFmpeg writes into and that cannot be rewound, as the client's socket cannot."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self._written)
        self._written.clear()
        return data


class _Ffmpeg(Encoder):
    def __init__(
        self, container: str, codec: str, rate_hz: int, bitrate: int = 0, options: dict[str, str] | None = None
    ) -> None:
        self._rate_hz = rate_hz
        self._sink = _Sink()
        self._container = av.open(self._sink, "w", format=container, options=options or {})
        stream: Any = self._container.add_stream(codec, rate=rate_hz)
        stream.codec_context.layout = "mono"
        if bitrate:
            stream.bit_rate = bitrate
        self._stream = stream
        self._samples = 0

    def encode(self, pcm: Pcm) -> bytes:
        if pcm.size:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm)[None, :], format="s16", layout="mono")
            frame.sample_rate = self._rate_hz
            frame.pts = self._samples
            self._samples += pcm.size
            self._container.mux(self._stream.encode(frame))
        return self._sink.take()

    def finish(self) -> bytes:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.take()
