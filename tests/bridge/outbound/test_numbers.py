"""The agent calls only numbers that the list allows."""

from __future__ import annotations

import pytest

from bridge.outbound.numbers import NumberNotAllowed, Numbers

ALLOW = "2??; +4930*; 0800[1-9]*; 110"


@pytest.mark.parametrize("number", ["200", "299", "+4930", "+493012345678", "08001", "0800912345", "110"])
def test_allowed(number: str) -> None:
    Numbers(ALLOW).check(number)
    with pytest.raises(NumberNotAllowed, match="is not allowed by OUTBOUND_ALLOW"):
        Numbers("999").check(number)  # so it is this list that allows it


@pytest.mark.parametrize(
    "number", ["301", "2000", "20", "+4940123", "4930123", "08000123", "0800", "112", "2*1", "+493#"]
)
def test_not_on_the_list(number: str) -> None:
    with pytest.raises(NumberNotAllowed, match="is not allowed by OUTBOUND_ALLOW"):
        Numbers(ALLOW).check(number)


@pytest.mark.parametrize(
    "number", ["", "+", "2 0", "20\n1", "20１", "201@from-internal", "201&202", "201/n", "2" * 41, "٢٠١"]
)
def test_no_number(number: str) -> None:
    with pytest.raises(NumberNotAllowed, match="is no number"):
        Numbers("*;2??;+*;0*;" + "?" * 40).check(number)


@pytest.mark.parametrize("allow", ["two", "2??,1", "[z]", "2??; 0 1", "*" * 41, "[9-1]"])
def test_a_wrong_list_says_so(allow: str) -> None:
    with pytest.raises(ValueError, match=r"is no number or pattern|bad character range"):
        Numbers(allow)


def test_an_empty_list_allows_nothing() -> None:
    assert not Numbers("")
    with pytest.raises(NumberNotAllowed):
        Numbers("").check("201")
