"""Recordings that are no voices: heads that promise gigabytes, little that decodes to much, bytes changed at random."""

from __future__ import annotations

import asyncio
import io
import itertools
import random
import struct
from collections.abc import Iterator
from typing import Final

import av
import numpy as np

from benchmarks.attacks.bodies import BOUNDARY, FORM
from benchmarks.attacks.target import Answers, Target
from benchmarks.attacks.wire import CHUNK_BYTES, ask, head

UPLOADERS: Final = 16
LARGE_BYTES: Final = 10 * 2**20 - 1024
"""As much as the server takes."""
LARGE_UPLOADERS: Final = 64
RATE_HZ: Final = 48_000
LONG_S: Final = 3_600
"""An hour of silence, which is some kilobytes of FLAC."""
_FILE: Final = 'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
_TEXT: Final = 'Content-Disposition: form-data; name="input"\r\n\r\nHello.\r\n'


async def hostile_recordings(target: Target, answers: Answers) -> None:
    """Every kind over and over, to be spoken with and to be stored."""
    files = itertools.cycle(list(_files()))
    await asyncio.gather(*(_upload(target, answers, files, f"v{number}") for number in range(UPLOADERS)))


async def large_recordings(target: Target, answers: Answers) -> None:
    """Files of the largest size, on many connections at once."""
    file = _wav(LARGE_BYTES)[:44] + bytes(LARGE_BYTES)
    files = itertools.repeat(file)
    await asyncio.gather(*(_upload(target, answers, files, f"v{number}") for number in range(LARGE_UPLOADERS)))


async def _upload(target: Target, answers: Answers, files: Iterator[bytes], name: str) -> None:
    while True:
        for path in ("/v1/audio/speech/clone", f"/v1/audio/voices/{name}"):
            file = next(files)
            body = (
                f"--{BOUNDARY}\r\n{_TEXT if path.endswith('clone') else ''}".encode()
                + (f"--{BOUNDARY}\r\n" if path.endswith("clone") else "").encode()
                + _FILE.encode()
                + file
                + f"\r\n--{BOUNDARY}--\r\n".encode()
            )
            pieces = (body[start : start + CHUNK_BYTES] for start in range(0, len(body), CHUNK_BYTES))
            request = head(target, "POST", path, length=len(body), headers=FORM | {"Connection": "close"})
            await ask(target, answers, request, pieces)


def _files() -> Iterator[bytes]:
    rng = random.Random(1)
    sound = _wav(0xFFFFFFFF, 48_000)
    yield sound  # four gigabytes are promised
    yield _wav(2**31, 48_000, channels=65_535)
    yield _wav(2**31, 48_000, rate_hz=2**32 - 1)
    yield b"RF64" + sound[4:]
    silence = _encoded("flac", "flac", np.zeros(RATE_HZ * 60, np.int16), LONG_S // 60)
    yield silence
    yield _with_total_samples(silence[:4_096])
    noise = np.random.default_rng(1).integers(-9_000, 9_000, RATE_HZ * 2, np.int16)
    good = [_encoded(*kind, noise) for kind in (("flac", "flac"), ("mp3", "libmp3lame"), ("ogg", "libopus"))]
    yield b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + good[1]  # a tag of 256 MB
    yield b"\xff\xfb\x90\x00" * 20_000  # heads of MP3 frames and nothing else
    yield b"OggS\x00\x02" + bytes(20) + b"\xff" + b"\xff" * 255 + bytes(60_000)
    yield b"#EXTM3U\nfile:///etc/passwd\n"
    yield b"ffconcat version 1.0\nfile /etc/passwd\n"
    yield rng.randbytes(200_000)
    for file in (*good, sound):
        for _ in range(8):
            changed = bytearray(file)
            for _ in range(rng.randrange(1, 200)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            yield bytes(changed)
        yield file[: len(file) // 2]


def _wav(data_bytes: int, written_bytes: int = 0, *, channels: int = 1, rate_hz: int = RATE_HZ) -> bytes:
    """A head that promises `data_bytes`, and noise."""
    size = min(data_bytes, 2**32 - 1)
    form = struct.pack("<HHIIHH", 1, channels, rate_hz, 2**32 - 1, 2, 16)
    start = b"RIFF" + struct.pack("<I", 2**32 - 1) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return start + b"data" + struct.pack("<I", size) + random.Random(2).randbytes(written_bytes)


def _encoded(container: str, codec: str, pcm: np.ndarray[tuple[int], np.dtype[np.int16]], times: int = 1) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE_HZ)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.layout = "mono"
        for _ in range(times):
            frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
            frame.sample_rate = RATE_HZ
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def _with_total_samples(flac: bytes) -> bytes:
    """The same, promising as many samples as can be said."""
    changed = bytearray(flac)
    changed[21] |= 0x0F
    changed[22:26] = b"\xff" * 4
    return bytes(changed)
