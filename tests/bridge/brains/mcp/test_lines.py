"""Lines of a process, however they are cut, and one that is too long."""

from __future__ import annotations

import pytest

from bridge.brains.mcp.lines import HEAD_BYTES, MAX_LINE_BYTES, Lines, TooLong


@pytest.mark.parametrize("size", [1, 7, 100_000, 10_000_000])
def test_lines_are_the_same_however_they_come(size: int) -> None:
    text = b"one\n\n" + b"x" * (MAX_LINE_BYTES + 5) + b"\ntwo\n" + b"y" * MAX_LINE_BYTES + b"\nrest"
    lines = Lines()
    found = [line for start in range(0, len(text), size) for line in lines.push(text[start : start + size])]
    assert found == [b"one", b"", TooLong(b"x" * HEAD_BYTES), b"two", b"y" * MAX_LINE_BYTES]


def test_a_line_without_an_end_is_told_of_once_and_not_kept() -> None:
    lines = Lines()
    found = [line for _ in range(100) for line in lines.push(b"x" * 65_536)]
    assert found == [TooLong(b"x" * HEAD_BYTES)]
    assert not lines._line
