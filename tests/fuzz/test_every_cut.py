"""AudioSocket's decoder, exhaustively: every stream of a few bytes, however it is cut."""

from __future__ import annotations

import pytest

from bridge.line.audiosocket import Decoder, Message
from fuzz.every_cut import VALUES, cuts, try_every_cut


class Forgetful(Decoder):
    """Loses a kind that comes alone."""

    def feed(self, data: bytes, most: int | None = None) -> list[Message]:
        return super().feed(data if self.mid_message or len(data) != 1 else b"", most)


def test_there_are_as_many_cuts_as_there_are_sets_of_places() -> None:
    assert list(cuts(1)) == [[(0, 1)]]
    assert list(cuts(3)) == [[(0, 3)], [(0, 2), (2, 3)], [(0, 1), (1, 3)], [(0, 1), (1, 2), (2, 3)]]


@pytest.mark.parametrize("size", range(1, 6))
def test_every_cut_gives_the_same_messages(size: int) -> None:
    assert try_every_cut(size) == len(VALUES) ** size * 2 ** (size - 1)


def test_a_decoder_that_loses_a_byte_is_found() -> None:
    with pytest.raises(AssertionError, match="in pieces"):
        try_every_cut(4, decoder=Forgetful)
