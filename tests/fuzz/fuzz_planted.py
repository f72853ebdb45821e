"""A harness with a defect in it, which the command must find."""

from __future__ import annotations

from typing import Final

from fuzz.harness import fuzz

SEEDS: Final = (b"no defect", b"bug")


def check(data: bytes) -> None:
    assert data != b"bug", "this is the defect"


if __name__ == "__main__":
    fuzz(check, SEEDS)
