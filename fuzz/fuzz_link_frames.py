"""The frames between an engine and who speaks by it: any cut of the bytes gives the same, and none is too long."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fuzz.harness import fuzz, instrumented
from fuzz.pieces import chosen, pieces

with instrumented(__name__, "engine.link.frames"):
    from engine.link.frames import BEFORE_TOKEN, FROM_ENGINE, TO_ENGINE, Decoder, Frame, Kind, WrongBytes, encode

LIMITS: Final = (FROM_ENGINE, TO_ENGINE, BEFORE_TOKEN)
SEEDS: Final = (
    b"\x00" + encode(Kind.HELLO, 0, b"{}") + encode(Kind.PCM, 1, bytes(960)) + encode(Kind.END, 1),
    b"\x01" + encode(Kind.OPEN, 1, b"{}") + encode(Kind.CANCEL, 1) + encode(Kind.TOKEN, 0, b"token"),
    b"\x02" + encode(Kind.TOKEN, 0, b"token") + encode(Kind.OPEN, 1, b"{}"),
)


def _read(number: int, chunks: Iterable[bytes]) -> tuple[list[Frame], str]:
    """Returns the frames of a stream, and what is wrong with it."""
    decoder, frames = Decoder(LIMITS[number]), []
    try:
        for chunk in chunks:
            decoder.feed(chunk)
            while (frame := decoder.take()) is not None:
                frames.append(frame)
    except WrongBytes as error:
        return frames, str(error)
    return frames, ""


def check(data: bytes) -> None:
    how, stream = chosen(data)
    number = how % len(LIMITS)
    frames, wrong = _read(number, [stream])
    assert _read(number, pieces(stream, how // len(LIMITS))) == (frames, wrong)
    assert stream.startswith(b"".join(encode(*frame) for frame in frames))
    assert all(len(frame.payload) <= LIMITS[number][frame.kind] for frame in frames)


if __name__ == "__main__":
    fuzz(check, SEEDS)
