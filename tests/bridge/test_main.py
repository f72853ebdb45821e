"""What `talkspurt serve` does before it serves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge import app, logs
from bridge.__main__ import main


@pytest.mark.parametrize(("user", "warnings"), [(0, ["running as root"]), (1000, [])])
def test_a_server_that_runs_as_root_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, user: int, warnings: list[str]
) -> None:
    async def serve(settings: object) -> None:
        pass

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app, "serve", serve)
    monkeypatch.setattr(logs, "set_up_logs", lambda *_: None)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with capture_logs() as entries:
        assert main(["serve"]) == 0
    assert [entry["event"] for entry in entries if entry["log_level"] == "warning"] == warnings
