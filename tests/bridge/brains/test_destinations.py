"""Calls are sent only where the allow-list says, and nothing else gets into the dialplan."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from bridge.brains.destinations import Destinations, NotAllowed, is_destination

ALLOW = "sales=ext-queues,400,1; from-internal,2??,1"


@pytest.mark.parametrize(
    ("wanted", "destination"),
    [
        ("sales", "ext-queues,400,1"),
        (" Sales ", "ext-queues,400,1"),
        ("ext-queues,400,1", "ext-queues,400,1"),
        ("from-internal,201,1", "from-internal,201,1"),
        ("201", "from-internal,201,1"),
        (" 201 ", "from-internal,201,1"),
        ("400", "ext-queues,400,1"),
    ],
)
def test_allowed(wanted: str, destination: str) -> None:
    assert Destinations(ALLOW).resolve(wanted) == destination


@pytest.mark.parametrize(
    "wanted",
    ["", "301", "2٠1", "support", "2,01", "from-internal,301,1", "from-internal,2011,1", "from-internal,201,1,x",
     "${EVIL},s,1", "from-internal,2?1,1", "from-internal,201,1\nfrom-internal,202,1", "macro-x,s,1"],
)  # fmt: skip
def test_refused(wanted: str) -> None:
    with pytest.raises(NotAllowed):
        Destinations(ALLOW).resolve(wanted)


@pytest.mark.parametrize("extension", ["20١", "20²", "2०1", "20*", "2*#", "2.1", "2+1", "2?1"])
def test_a_pattern_of_numbers_allows_nothing_but_numbers(extension: str) -> None:
    with pytest.raises(NotAllowed):
        Destinations(ALLOW).resolve(f"from-internal,{extension},1")
    with pytest.raises(NotAllowed):
        Destinations("from-internal,2[!9][!9],1").resolve(f"from-internal,{extension},1")


@pytest.mark.parametrize(
    ("pattern", "extension"),
    [
        ("2*", "2"),
        ("2*", "2345"),
        ("*", "*97"),
        ("[2-4]0[!5]", "409"),
        ("[*]9", "*9"),
        ("2?a-", "21a-"),
        ("2.1", "2.1"),
    ],
)
def test_patterns(pattern: str, extension: str) -> None:
    destination = f"a,{extension},1"
    assert Destinations(f"a,{pattern},1").resolve(destination) == destination
    for wrong in (f"b,{extension},1", f"a,{extension}x,1", f"a,{extension},2"):
        if pattern not in ("*", "2*") or not wrong.endswith("x,1"):
            with pytest.raises(NotAllowed):
                Destinations(f"a,{pattern},1").resolve(wrong)


def test_the_dialplan_filters_out_nothing_of_a_destination() -> None:
    text = resources.files("bridge.commands").joinpath("dialplan.conf").read_text()
    (allowed,) = re.findall(r"FILTER\((.*?),\$\{CURL", text)
    kept = set(re.sub(r"(.)-(.)", lambda ends: "".join(map(chr, range(ord(ends[1]), ord(ends[2]) + 1))),
                      allowed).replace(r"\x2c", ",").replace(r"\x2e", ".").replace(r"\x2d", "-"))  # fmt: skip
    ours = {c for c in map(chr, range(0x110000)) if is_destination(f"{c},{c},1")} | {","}
    assert ours == kept
    assert {c for c in ours if is_destination(f"a,1,{c}")} < kept


def test_nothing_is_allowed_without_a_list() -> None:
    assert not Destinations("")
    with pytest.raises(NotAllowed):
        Destinations("").resolve("ext-queues,400,1")


@pytest.mark.parametrize(
    "allow", ["400", "sales=", "a,b", "sales=from-internal,2??,1", "x=${A},s,1", "a,[9-0],1", "a,٢,1"]
)
def test_a_wrong_list_says_so(allow: str) -> None:
    with pytest.raises(ValueError, match=r"context,extension,priority|named"):
        Destinations(allow)


def test_a_model_is_told_which_names_and_extensions_there_are() -> None:
    assert Destinations(ALLOW).describe() == (
        "Where to send the caller: one of these names: sales, or an extension of this form: 2??. "
        "There, ? is one digit, [2-4] is one of 2 to 4, and * is any number of digits. Give only the extension."
    )
    assert Destinations("sales=ext-queues,400,1").describe() == "Where to send the caller: one of these names: sales."
    assert Destinations("from-internal,201,1").describe() == (
        "Where to send the caller: an extension of this form: 201."
    )


def test_an_extension_goes_to_the_first_context_that_allows_it() -> None:
    destinations = Destinations("from-*,3??,1; ext-local,20[1-3],1; from-internal,2??,1; outbound,*,1")
    assert destinations.resolve("202") == "ext-local,202,1"
    assert destinations.resolve("209") == "from-internal,209,1"
    assert destinations.resolve("*97") == "outbound,*97,1"
    with pytest.raises(NotAllowed, match=r"'voicemail' is no destination\. Where to send the caller: "):
        destinations.resolve("voicemail")


def test_a_refusal_tells_the_model_what_is_allowed() -> None:
    with pytest.raises(NotAllowed, match=r"'from-internal,301,1' is not allowed by TRANSFER_ALLOW\. Where to .* 2\?\?"):
        Destinations(ALLOW).resolve("from-internal,301,1")
