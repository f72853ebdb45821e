"""A scripted call's journal says what each sound of its caller's was."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from bridge.converse.journal_lines import journal, kind_of
from bridge.converse.scenario import Scenario, Step
from bridge.converse.server_group import Outcome
from bridge.converse.timeline import CallerAct, Timeline
from bridge.dial.caller import Caller
from bridge.journal.reading import read_lines


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        ({"say": "Stop it, please."}, "speech"),
        ({"say": ["Mm-hm.", 200, "I see."]}, "backchannel"),
        ({"sound": "cough"}, "vocal_tic"),
        ({"say": "Dinner is ready.", "voice": "onyx"}, "side_talk"),
        ({"say": "Hello.", "voice": "nova"}, "speech"),
        ({"press": "5"}, None),
        ({"wait_ms": 500}, None),
        ({"sound": "music"}, None),
    ],
)
def test_what_a_step_is(step: dict[str, Any], kind: str | None) -> None:
    scenario = Scenario.model_validate({"name": "one", "voice": "nova", "caller": [{"say": "Hi."}]})
    assert kind_of(scenario, Step.model_validate(step)) == kind


def test_the_servers_lines_are_followed_by_the_callers_sounds() -> None:
    scenario = Scenario.model_validate({"name": "one", "caller": [{"say": "Stop."}, {"press": "5"}]})
    told = [(0.1, {"type": "call.started", "call_id": "c", "at_ms": 0, "number": 1})]
    acts = [CallerAct(0, "Stop.", 1.0, 1.5), CallerAct(1, "5", 2.0, 2.2)]
    timeline = Timeline(np.zeros(0), np.zeros(0, bool), acts, told)
    lines = list(journal(Outcome(scenario, timeline, Caller(), [])))
    assert [(line["type"], line["number"]) for line in lines] == [("call.started", 1), ("caller.act", 2)]
    assert (lines[1]["start_ms"], lines[1]["end_ms"], lines[1]["kind"]) == (1_000, 1_500, "speech")
    assert len(read_lines([json.dumps(line) + "\n" for line in lines], "j")) == 2
