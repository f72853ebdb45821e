"""What `talkspurt serve` does before it serves."""

from __future__ import annotations

import os

import pytest
from structlog.testing import capture_logs

from bridge import app


@pytest.mark.parametrize(("user", "warnings"), [(0, ["running as root"]), (1000, [])])
def test_a_server_that_runs_as_root_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, user: int, warnings: list[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with capture_logs() as entries:
        app.warn_of_root()
    assert [entry["event"] for entry in entries if entry["log_level"] == "warning"] == warnings
