"""The table and the exit status of made-up outcomes."""

from __future__ import annotations

import numpy as np

from bridge.converse.expectations import Verdict
from bridge.converse.report import table
from bridge.converse.scenario import Scenario
from bridge.converse.server_group import Outcome, grouped
from bridge.converse.timeline import Timeline
from bridge.dial.caller import Caller


def scenario(name: str, **rest: object) -> Scenario:
    return Scenario.model_validate({"name": name, "caller": [{"say": "Hi."}], **rest})


def outcome(name: str, passed: bool | None, expected_failure: str = "") -> Outcome:
    timeline = Timeline(np.zeros(0), np.zeros(0, bool))
    verdicts = [Verdict("it answers", "7 ms", passed)]
    return Outcome(scenario(name, expected_failure=expected_failure), timeline, Caller(), verdicts)


def test_each_expectation_has_a_line_and_surprises_are_told() -> None:
    outcomes = [
        outcome("good", True),
        outcome("bad", False),
        outcome("known", False, "it is slow"),
        outcome("mended", True, "it was slow"),
        outcome("unseen", None),
    ]
    assert [one.counts for one in outcomes] == [False, True, False, False, False]
    lines = table(outcomes).splitlines()
    endings = [line.split("7 ms")[1].strip() for line in lines if "7 ms" in line]
    assert endings == ["pass", "FAIL", "fails, as expected", "pass", "not measured"]
    assert "3 of 5 scenarios pass" in lines
    assert "fails, as expected: known (it is slow)" in lines
    assert "passes, though a failure was expected: mended; take its expected_failure away" in lines
    short = table(outcomes, short=True)
    assert "good" not in short
    assert "bad" in short


def test_a_busy_caller_is_told() -> None:
    late = outcome("good", True)
    late.caller.late_s = 0.2
    assert "a caller's own frame was 200 ms late" in table([late])


def test_what_wants_the_same_settings_shares_a_server() -> None:
    one, two = scenario("one"), scenario("two", server={"BACKCHANNELS": "en"})
    three, four = scenario("three"), scenario("four", recogniser="embedded")
    assert grouped([one, two, three, four]) == [[one, three], [two], [four]]
