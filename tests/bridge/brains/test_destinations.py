"""Calls are sent only where the allow-list says, and nothing else gets into the dialplan."""

from __future__ import annotations

import pytest

from bridge.brains.destinations import Destinations, NotAllowed

ALLOW = "sales=ext-queues,400,1; from-internal,2??,1"


@pytest.mark.parametrize(
    ("wanted", "destination"),
    [
        ("sales", "ext-queues,400,1"),
        (" Sales ", "ext-queues,400,1"),
        ("ext-queues,400,1", "ext-queues,400,1"),
        ("from-internal,201,1", "from-internal,201,1"),
    ],
)
def test_allowed(wanted: str, destination: str) -> None:
    assert Destinations(ALLOW).resolve(wanted) == destination


@pytest.mark.parametrize(
    "wanted",
    ["", "201", "from-internal,301,1", "from-internal,2011,1", "from-internal,201,1,x", "${EVIL},s,1",
     "from-internal,2?1,1", "from-internal,201,1\nfrom-internal,202,1", "macro-x,s,1"],
)  # fmt: skip
def test_refused(wanted: str) -> None:
    with pytest.raises(NotAllowed):
        Destinations(ALLOW).resolve(wanted)


def test_nothing_is_allowed_without_a_list() -> None:
    assert not Destinations("")
    with pytest.raises(NotAllowed):
        Destinations("").resolve("ext-queues,400,1")


@pytest.mark.parametrize("allow", ["400", "sales=", "a,b", "sales=from-internal,2??,1", "x=${A},s,1"])
def test_a_wrong_list_says_so(allow: str) -> None:
    with pytest.raises(ValueError, match=r"context,extension,priority|named"):
        Destinations(allow)
