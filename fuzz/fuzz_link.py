"""An engine that one speaks by: whatever it sends, each sentence ends, with sound in bounds or a SpeechError."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Final

from fuzz.harness import fuzz, instrumented
from fuzz.loop import run
from fuzz.pieces import chosen, pieces

with instrumented(__name__, "engine.link"):
    from engine.link.frames import Kind, encode
    from engine.link.incoming import MAX_SOUND_BYTES
    from engine.link.link import Link
    from engine.link.messages import Room
    from engine.speech import SpeechError, Style
    from engine.status import EngineStatus
    from fuzz.link_end import LinkEnd

SENTENCES: Final = 3
ENDED_S: Final = 20.0
"""The time for all sentences to end, on a busy machine."""
_HELLO: Final = encode(
    Kind.HELLO, 0, json.dumps({"name": "e", "sample_rate_hz": 24_000, "voices": [{"id": "a", "name": "A",
    "languages": ["en"]}], "names": {"": "a"}}).encode()
)  # fmt: skip
_ROOM: Final = encode(Kind.ROOM, 0, Room(EngineStatus("e", "m", model_loaded=True, queue_depth=0), 1, 2, 0.5).pack())
_SPOKEN: Final = encode(Kind.WORDS, 1, b"[0, 5]") + encode(Kind.PCM, 1, bytes(960)) + encode(Kind.END, 1)
_FAILED: Final = tuple(
    encode(Kind.FAILED, number, json.dumps(told).encode())
    for number, told in (
        (2, {"error": "UnknownVoice", "message": "m", "voice": "x", "known": ["a"]}),
        (3, {"error": "EngineNotReady", "message": "m", "retry_after_s": 3}),
        (0, {"error": "SpeechError", "message": "m"}),
    )
)
SEEDS: Final = (
    b"\x01" + _HELLO + _ROOM + _SPOKEN,
    b"\x02" + _ROOM + _HELLO + _FAILED[0] + _FAILED[1] + _SPOKEN,
    b"\x03" + _HELLO + _ROOM + _FAILED[2],
)


async def _hear(link: Link, starts: list[int]) -> int:
    """Returns how many bytes of a sentence's sound were heard."""
    heard_bytes = 0
    try:
        async for pcm in link.stream("Hello there.", Style(on_word_starts=starts.extend)):
            heard_bytes += pcm.nbytes
    except SpeechError as error:
        assert str(error)
    return heard_bytes


async def _speak(how: int, stream: bytes) -> None:
    link = Link()
    end = LinkEnd(link.connection)
    starts: list[int] = []
    sentences = [asyncio.create_task(_hear(link, starts)) for _ in range(SENTENCES)]
    await asyncio.sleep(0)
    await end.receive(pieces(stream, how))
    if link.room is not None:
        json.dumps(asdict(link.room.status), default=dict)
    if link.hello is not None:
        for name in ("", "a", "nobody"):
            try:
                assert isinstance(link.hello.resolve_voice(name), str)
            except SpeechError as error:
                assert str(error)
    await end.lose()
    async with asyncio.timeout(ENDED_S):
        heard_bytes = await asyncio.gather(*sentences)
    assert link.lost
    assert sum(heard_bytes) <= min(len(stream), MAX_SOUND_BYTES)
    assert all(start >= 0 for start in starts)


def check(data: bytes) -> None:
    how, stream = chosen(data)
    run(_speak(how, stream))


if __name__ == "__main__":
    fuzz(check, SEEDS)
