"""Who has the floor follows from the events."""

from __future__ import annotations

from bridge.journal.floor import FloorKeeper


def test_a_barge_in_and_a_false_one() -> None:
    keeper = FloorKeeper()
    told = [
        keeper.after(kind)
        for kind in (
            "call.started", "response.started", "caller.started", "response.paused", "caller.stopped",
            "response.resumed", "caller.started", "response.paused", "response.interrupted", "transcript.user",
            "caller.stopped", "response.started", "call.ended",
        )
    ]  # fmt: skip
    assert told == [
        None, "agent", "both", "caller", "nobody", "agent", "both", "caller", None, None, "nobody", "agent", "nobody",
    ]  # fmt: skip
