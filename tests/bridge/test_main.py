"""What `talkspurt` says of itself, and what `talkspurt serve` does before it serves."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge import app
from bridge.__main__ import main

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.parametrize(("user", "warnings"), [(0, ["running as root"]), (1000, [])])
def test_a_server_that_runs_as_root_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, user: int, warnings: list[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with capture_logs() as entries:
        app.warn_of_root()
    assert [entry["event"] for entry in entries if entry["log_level"] == "warning"] == warnings


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"talkspurt {tomllib.loads(PROJECT.read_text())['project']['version']}\n"
