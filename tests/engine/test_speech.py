"""What every engine has from `Engine`: a text that is still being written, spoken sentence by sentence."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from engine.speech import Style
from tests.support.fakes import FakeEngine


class Typed:
    """Pieces of text, and whether they were closed."""

    def __init__(self, *pieces: str | Exception) -> None:
        self.pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncGenerator[str, None]:
        try:
            for piece in self.pieces:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.closed = True


async def test_each_sentence_once_it_is_whole() -> None:
    engine = FakeEngine()
    typed = Typed("One sen", "tence. And", " another one")
    async with aclosing(engine.stream_growing(typed, Style(voice="two"))) as stream:
        await anext(stream)
        assert engine.spoken == [("One sentence. ", "two")]
        _ = [pcm async for pcm in stream]
    assert engine.spoken[1:] == [("And another one", "two")]
    assert typed.closed


async def test_closing_it_closes_the_text_and_the_sentence() -> None:
    engine = FakeEngine()
    typed = Typed("One sentence. And another", " one.")
    async with aclosing(engine.stream_growing(typed, Style())) as stream:
        await anext(stream)
    assert typed.closed
    assert engine.streams == 0


async def test_an_error_of_the_text_comes_after_what_was_whole() -> None:
    engine = FakeEngine()
    typed = Typed("One sentence. And", ConnectionError("hung up"))
    with pytest.raises(ConnectionError, match="hung up"):
        _ = [pcm async for pcm in engine.stream_growing(typed, Style())]
    assert [text for text, _ in engine.spoken] == ["One sentence. "]
