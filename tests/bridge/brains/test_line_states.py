"""Who is there: what a model is told, and that it cannot send the call to who is not."""

from __future__ import annotations

import json

import aiohttp
import pytest

from bridge.brains.brain import Transfer
from bridge.brains.destinations import Destinations
from bridge.brains.line_states import FRESH_S, LINE_STATES, LineStates
from bridge.brains.tools import Toolbox

STATES = {LINE_STATES: "400@ext-queues=NO_AGENTS,201@in=INUSE,202@in=UNKNOWN,"}
TELEPHONES_AWAY = {"BUSY": "busy", "DND": "does not want to be disturbed", "UNAVAILABLE": "not reachable"}
PLACES = "sales=ext-queues,400,1; boss=in,201,1; ann=in,202,1; in,2??,1"


async def test_a_model_is_told_who_is_there_and_its_transfer_to_nobody_is_refused() -> None:
    async with aiohttp.ClientSession() as http:
        toolbox = Toolbox(http, [], Destinations(PLACES), line_states=LineStates(STATES))
        (transfer,) = (tool for tool in toolbox.specifications() if tool["function"]["name"] == "transfer")
        description = transfer["function"]["parameters"]["properties"]["destination"]["description"]
        assert description.endswith("When the call began: boss: in a call; sales: nobody is logged in.")
        refused = await toolbox.call("transfer", json.dumps({"destination": "sales"}))
        assert refused.action is None
        assert "nobody is logged in" in refused.content
        for wanted, extension in (("boss", "201"), ("ann", "202"), ("203", "203")):
            result = await toolbox.call("transfer", json.dumps({"destination": wanted}))
            assert result.action == Transfer(f"in,{extension},1")


@pytest.mark.parametrize("state", TELEPHONES_AWAY)
def test_a_telephone_that_is_away_may_have_voicemail_so_that_a_model_is_only_told(state: str) -> None:
    states = LineStates({LINE_STATES: f"201@in={state}"})
    assert f"boss: {TELEPHONES_AWAY[state]}" in states.describe(Destinations(PLACES))
    assert states.why_not("in,201,1") == ""


@pytest.mark.parametrize(("later_s", "refused"), [(0.0, True), (FRESH_S, False)])
def test_a_state_of_long_ago_refuses_nobody(later_s: float, refused: bool) -> None:
    now_s = 100.0
    states = LineStates(STATES, lambda: now_s)
    now_s += later_s
    assert bool(states.why_not("ext-queues,400,1")) is refused
