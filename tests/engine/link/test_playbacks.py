"""How far listeners are behind what is made for them."""

from __future__ import annotations

from engine.link.playbacks import Playbacks


def test_slack_is_the_least_that_any_listener_has_left_to_hear():
    playbacks = Playbacks()
    assert playbacks.slack_s(0.0) is None
    playbacks.begin("a", needed_at_s=0.0)
    playbacks.begin("b", needed_at_s=5.0)
    assert playbacks.slack_s(0.5) is None, "nobody hears anything yet, so that nobody runs dry"
    playbacks.made("a", 1.0, now_s=0.5)
    assert playbacks.slack_s(1.0) == 0.5
    playbacks.made("a", 2.0, now_s=1.0)
    playbacks.made("b", 0.25, now_s=1.0)
    assert playbacks.slack_s(1.0) == 2.5, "the next sentence begins where the one before it ends, at 5 s"
    assert playbacks.slack_s(4.0) == -0.5, "who hears nothing has less than nothing left"
    playbacks.end("a")
    assert playbacks.slack_s(4.0) == 1.25
    playbacks.end("b")
    assert len(playbacks) == 0


def test_what_nobody_waits_for_has_no_slack_to_lose():
    """A long text that is read out in what calls leave over would make the engine seem to be behind with them."""
    playbacks = Playbacks()
    playbacks.begin("bulk", None)
    playbacks.made("bulk", 1.0, now_s=0.0)
    assert playbacks.slack_s(60.0) is None
    playbacks.begin("call", 60.0)
    playbacks.made("call", 1.0, now_s=60.0)
    assert playbacks.slack_s(60.0) == 1.0
    assert len(playbacks) == 2
