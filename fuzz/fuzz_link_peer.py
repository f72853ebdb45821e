"""Somebody who asks an engine over a link: whatever they send, what they are told keeps to the protocol."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Final

import numpy as np

from fuzz.harness import fuzz, instrumented
from fuzz.loop import run
from fuzz.pieces import chosen, pieces

with instrumented(__name__, "engine.link"):
    from engine.link.frames import FROM_ENGINE, Decoder, Kind, encode
    from engine.link.messages import pack_sentence, read_error, read_hello, read_room, read_starts
    from engine.link.server import LinkServer
    from engine.speech import Pcm, Priority, SpeechError, Style
    from fuzz.link_end import LinkEnd
    from tests.support.fakes import FakeEngine

TOKEN: Final = "token"
_STYLE: Final = Style(voice="one", language="en", priority=Priority.HTTP, seed=1, needed_at_s=5.0, on_word_starts=print)
_OPEN: Final = tuple(encode(Kind.OPEN, number, pack_sentence("Hello.", _STYLE, 0.0)) for number in (1, 2))
_SHOWN: Final = encode(Kind.TOKEN, 0, TOKEN.encode())
SEEDS: Final = (
    b"\x00" + _OPEN[0] + encode(Kind.CANCEL, 1) + _OPEN[1],
    b"\x01" + _SHOWN + _OPEN[0] + _OPEN[1] + _OPEN[1],
    b"\x05" + encode(Kind.TOKEN, 0, b"wrong") + _OPEN[0],
)


class _Engine(FakeEngine):
    """Speaks a little, unless it is told a text that it does not like."""

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        if style.on_word_starts is not None:
            style.on_word_starts([0])
        yield np.zeros(240, np.int16)
        if len(sentence) % 5 == 4:
            raise SpeechError("it does not like this text")
        await asyncio.sleep(0)
        yield np.zeros(240, np.int16)


async def _serve(how: int, stream: bytes) -> None:
    server = LinkServer(_Engine())
    peer = server.peer(TOKEN if how & 1 else "")
    end = LinkEnd(peer.connection)
    await end.receive(pieces(stream, how // 2))
    for _ in range(5):
        await asyncio.sleep(0)
    _check_sent(bytes(end.sent), knows=peer.known)
    await end.lose()
    await server.close()
    await peer.close()
    assert not peer._sentences
    assert not server


def _check_sent(sent: bytes, *, knows: bool) -> None:
    decoder, ended = Decoder(FROM_ENGINE), Counter[int]()
    decoder.feed(sent)
    while (frame := decoder.take()) is not None:
        assert knows or frame.kind == Kind.FAILED, "nothing is told before the token is shown"
        match frame.kind:
            case Kind.HELLO:
                read_hello(frame.payload)
            case Kind.ROOM:
                read_room(frame.payload)
            case Kind.WORDS:
                read_starts(frame.payload)
            case Kind.PCM:
                assert len(frame.payload) % 2 == 0
            case Kind.FAILED:
                read_error(frame.payload)
                ended[frame.number] += 1
            case Kind.END:
                ended[frame.number] += 1
    assert knows or max(ended.values(), default=0) <= 1


def check(data: bytes) -> None:
    how, stream = chosen(data)
    run(_serve(how, stream))


if __name__ == "__main__":
    fuzz(check, SEEDS)
