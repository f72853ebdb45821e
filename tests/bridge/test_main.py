"""What `talkspurt` says of itself, and what `talkspurt serve` does before it serves."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge import app, logs
from bridge.__main__ import main
from bridge.workers import supervisor

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


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({}, "one process"), ({"RUN_DIR": ""}, "one process"), ({"RUN_DIR": "."}, "team"), ({"WORKERS": "2"}, "team")],
)
def test_one_process_serves_alone_unless_workers_or_a_successor_are_wanted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: dict[str, str], kind: str
) -> None:
    served = []

    def serving(kind: str) -> Callable[..., Awaitable[None]]:
        async def serve(*args: object, **more: object) -> None:
            served.append(kind)

        return serve

    monkeypatch.setattr(app, "serve", serving("one process"))
    monkeypatch.setattr(supervisor, "supervise", serving("team"))
    monkeypatch.setattr(logs, "set_up_logs", lambda *args: None)
    monkeypatch.chdir(tmp_path)  # it has no .env
    for name in ("WORKERS", "RUN_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert main(["serve"]) == 0
    assert served == [kind]
