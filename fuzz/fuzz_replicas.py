"""Where replicas are, and where the one goes on that takes over a sentence: within bounds, or refused."""

from __future__ import annotations

from typing import Final

import numpy as np

from fuzz.harness import fuzz, instrumented
from fuzz.pieces import chosen

with instrumented(__name__, "engine.replicas"):
    from engine.replicas.address import read_addresses
    from engine.replicas.seam import seam

RATES_HZ: Final = (8_000, 24_000)
ADDRESSES: Final = 0xFF
"""The first byte of an input that holds addresses."""
_SOUND: Final = (9_000 * np.sin(np.arange(900) ** 1.5 / 40)).astype("<i2").tobytes()
SEEDS: Final = (
    b"\xffhost:7070, tls://[::1]:7071,127.0.0.1:7072",
    b"\xfftcp://b\xc3\xbccher.example:1",
    b"\x00" + _SOUND,
    b"\x81" + _SOUND + _SOUND,
)


def check(data: bytes) -> None:
    how, rest = chosen(data)
    if how == ADDRESSES:
        try:
            addresses = read_addresses(rest.decode(errors="replace"))
        except ValueError as error:
            assert str(error)
            return
        for address in addresses:
            assert 0 < address.port < 65_536
            (again,) = read_addresses(f"{'tls' if address.tls else 'tcp'}://{address}")
            assert again == address
        return
    pcm = np.frombuffer(rest[: len(rest) // 2 * 2], "<i2")
    heard, anew = np.split(pcm, [pcm.size * (how // 2) // 128])
    assert 0 <= seam(heard, anew, RATES_HZ[how % len(RATES_HZ)]) <= anew.size


if __name__ == "__main__":
    fuzz(check, SEEDS)
