"""Cuts what arrives in pieces, in as many ways as there are bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

_LONGEST: Final = (1, 3, 16, 500)
_Cut = TypeVar("_Cut", bytes, str)


def pieces(whole: _Cut, how: int) -> Iterator[_Cut]:
    """Yields the parts of bytes or of a text, in order, as long as the number `how` has it."""
    longest, at = _LONGEST[how % len(_LONGEST)], 0
    while at < len(whole):
        how = (how * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        size = 1 + (how >> 16) % longest
        yield whole[at : at + size]
        at += size


def chosen(data: bytes) -> tuple[int, bytes]:
    """Returns an input's first byte, by which a harness chooses among its ways, and the rest."""
    return (data[0], data[1:]) if data else (0, b"")


def as_text(data: bytes) -> str:
    """Returns bytes as a text; those that are none stand for characters too, lone surrogates among them."""
    return data.decode("utf-8", "surrogateescape")
