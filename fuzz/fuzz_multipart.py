"""Forms with a recording: read, or refused with a status, and nothing is in them that was not sent."""

from __future__ import annotations

import asyncio
import json
from typing import Final, cast

from aiohttp import MultipartReader, StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from multidict import CIMultiDict, CIMultiDictProxy

from fuzz.harness import fuzz, instrumented
from fuzz.loop import run
from fuzz.pieces import chosen, pieces

with instrumented(__name__, "aiohttp.multipart", "engine.web.bodies"):
    from engine.api.requests import CloneRequest, NewVoice, VoiceUpload
    from engine.web.bodies import read_form
    from engine.web.errors import ApiError

FORMS: Final = (CloneRequest, NewVoice, VoiceUpload)
MOST_BYTES: Final = 1_000
"""The longest recording that is taken here."""
BOUNDARY: Final = "b"


def _part(head: str, body: bytes) -> bytes:
    return b"--b\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + body + b"\r\n"


_FILE: Final = _part('name="file"; filename="a.wav"\r\nContent-Type: audio/wav', b"RIFF1234")
SEEDS: Final = (
    b"\x00" + _part('name="input"', b"Hello.") + _part('name="stream"', b"true") + _FILE + b"--b--\r\n",
    b"\x01" + _part('name="name"', b"my voice") + _part('name="audio_sample"', b"x" * 1_200) + b"--b--\r\n",
    b"\x02" + _part("name=ref_text\r\nContent-Transfer-Encoding: base64", b"aGk=") + _FILE + b"--b--",
    b"\x00" + _part("name=file\r\nContent-Encoding: gzip\r\nContent-Length: 3", b"abc") + b"--b--\r\n",
)


class _Request:
    """As much of a request as a form is read from."""

    content_type, content_length = "multipart/form-data", None

    def __init__(self, chunks: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        self._content = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
        for chunk in chunks:
            self._content.feed_data(chunk)
        self._content.feed_eof()

    async def multipart(self) -> MultipartReader:
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        return MultipartReader(CIMultiDictProxy(CIMultiDict(kind)), self._content)


async def _read(how: int, body: bytes) -> None:
    request = _Request(list(pieces(body, how // len(FORMS))))
    _, file = await read_form(cast(web.Request, request), FORMS[how % len(FORMS)], MOST_BYTES)
    if file is not None:
        assert len(file) <= MOST_BYTES
        if b"encoding" not in body.lower():
            assert file in body


def check(data: bytes) -> None:
    how, body = chosen(data)
    try:
        run(_read(how, body))
    except ApiError as error:
        assert 400 <= error.status < 500
        json.dumps(error.body()).encode()


if __name__ == "__main__":
    fuzz(check, SEEDS)
