"""A text that is still being written, handed on in parts whose tokens nothing that follows can change."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from typing import Final

# The checkpoints' tokenizer cuts a text by a pattern before it merges bytes: letters with one mark or space before
# them, single digits, marks with the line breaks after them, white space. So nothing reaches over a space that follows
# anything but white space, nor over one of these marks after a letter; in scripts without spaces that is a clause.
_MARKS: Final = "，。、！？；："


async def whole_words(pieces: AsyncIterable[str]) -> AsyncGenerator[str, None]:
    """The text without white space around it, each part as soon as it stands; closing it closes `pieces`.

    No part but the last is without a letter or digit. Tokenized together with what is before it, each part leaves the
    tokens of that as they were.
    """
    held, begun = "", False
    iterator = aiter(pieces)
    try:
        async for piece in iterator:
            held += piece
            if not begun:
                held = held.lstrip()
            end = _border(held)
            if any(char.isalnum() for char in held[:end]):
                yield held[:end]
                held, begun = held[end:], True
    finally:
        if isinstance(iterator, AsyncGenerator):
            await iterator.aclose()
    if rest := held.rstrip():
        yield rest


def _border(text: str) -> int:
    """Where the last part of the text begins that may still change; 0 if all of it may."""
    for at in range(len(text) - 1, 0, -1):
        before, char = text[at - 1], text[at]
        if (char == " " and not before.isspace()) or (char in _MARKS and before.isalpha()):
            return at
    return 0
