"""Very many random streams for AudioSocket's decoder: python -m fuzz.random_streams --inputs 100000000 --jobs 2

A fuzzer counts branches, which is slow, and the decoder has few. So this only draws: messages of every kind and length,
with bytes of chance among them, cut out anywhere. Each goes to the check of the fuzzer's own harness.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

from bridge.line.audiosocket import Kind, encode
from fuzz.fuzz_audiosocket import MOST_BYTES, check
from fuzz.harness import Check
from tests.support.numbered_work import Failed, in_processes

A_PART: Final = 20_000
"""How many inputs a process tries before it tells that it has."""
POOL_BYTES: Final = 65_536
"""Inputs are cut out of so many bytes, which each part draws anew."""
KINDS: Final = (*(int(kind) for kind in Kind), 0x02, 0x0F, 0x19, 0x7F, 0xFE)
"""All that there are, and some that there are not."""
LENGTHS: Final = (0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 7, 16)
LONG: Final = (17, 255, 256, 257, 320, 513)
LONG_SHARE: Final = 0.04
LONGEST: Final = (*(8, 12, 16, 24, 32) * 3, MOST_BYTES - 1)
"""How long an input may be, without its first byte: mostly short, which takes less time and shows as much."""
WRONG: Final = 0.15
"""The share of messages whose bytes are not what they should be."""
HOW: Final = [bytes([how]) for how in range(256)]
"""The first byte of an input, which says how it is cut."""
FOLDER: Final = Path(__file__).parents[1] / ".cache" / "fuzz" / "found"
PROGRESS_S: Final = 10.0


def pool(chance: Random) -> tuple[bytes, list[int]]:
    """Returns messages behind one another, some of them with wrong bytes, and where each begins."""
    made, starts = bytearray(), []
    while len(made) < POOL_BYTES:
        length = chance.choice(LONG if chance.random() < LONG_SHARE else LENGTHS)
        message = bytearray(encode(chance.choice(KINDS), chance.randbytes(length)))
        if chance.random() < WRONG:
            match chance.randrange(4):
                case 0:
                    message[chance.randrange(3)] = chance.choice((0, 1, 2, 3, 16, 127, 128, 255))
                case 1:
                    del message[chance.randrange(len(message)) :]
                case 2:
                    message.insert(chance.randrange(len(message) + 1), chance.randrange(256))
                case _:
                    message[1:3] = chance.choice((b"\xff\xff", b"\x80\x00", b"\x00\xff", b"\x01\x00"))
        starts.append(len(made))
        made += message
    return bytes(made), starts


def inputs(part: int, count: int = A_PART) -> Iterator[bytes]:
    """Yields the inputs of a part, which are the same everywhere. Three of four begin where a message does."""
    chance = Random(f"AudioSocket {part}")
    bits = chance.getrandbits
    drawn, starts = pool(chance)
    for _ in range(count):
        draw = bits(44)
        at = draw & 0xFFFF
        if draw >> 16 & 3:
            at = starts[at % len(starts)]
        size = 1 + (draw >> 18 & 0x3FFF) % LONGEST[draw >> 32 & 15]
        yield HOW[draw >> 36 & 0xFF] + drawn[at : at + size]


def try_part(part: int, check: Check = check, count: int = A_PART) -> bytes | None:
    """Tries the inputs of a part. Returns the one that breaks the rules, or None."""
    for data in inputs(part, count):
        try:
            check(data)
        except Exception:
            return data
    return None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz.random_streams", description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=10_000_000, help="how many (default: %(default)s)")
    parser.add_argument("--start", type=int, default=0, help=f"the first part, of {A_PART:,} inputs each")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=math.inf, help="no part is handed out after so long")
    arguments = parser.parse_args()
    began_s = told_s = time.monotonic()
    tried, parts = 0, range(arguments.start, arguments.start + math.ceil(arguments.inputs / A_PART))
    for part, found in in_processes(try_part, parts, arguments.jobs, until_s=began_s + arguments.seconds):
        if isinstance(found, Failed):
            sys.exit(f"part {part}: {found.reason}")
        if found is not None:
            FOLDER.mkdir(parents=True, exist_ok=True)
            path = FOLDER / f"audiosocket-part{part}"
            path.write_bytes(found)
            sys.exit(f"part {part}: {found.hex()}\n  python -m fuzz.fuzz_audiosocket {path}")
        tried += A_PART
        if time.monotonic() - told_s >= PROGRESS_S:
            told_s = time.monotonic()
            print(_told(tried, told_s - began_s), flush=True)
    print(f"{_told(tried, time.monotonic() - began_s)}, processes: {arguments.jobs}, nothing found", flush=True)


def _told(tried: int, took_s: float) -> str:
    return f"{took_s:,.0f} s: {tried:,} inputs, {tried / took_s:,.0f} a second"


if __name__ == "__main__":
    main()
