"""`talkspurt reload` where there is nothing to reload; tests/bridge/workers/test_taking_over.py has the rest."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from bridge.__main__ import main
from bridge.workers import old_server


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Has no `.env`, and no server runs in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RUN_DIR", raising=False)
    return tmp_path


def test_without_a_folder_nobody_can_be_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reload"]) == 2
    assert "RUN_DIR is not set" in capsys.readouterr().err


def test_where_no_server_runs_it_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUN_DIR", str(folder))
    assert main(["reload"]) == 1
    assert capsys.readouterr().err == f"no server is found in RUN_DIR={folder}\n"


def test_a_server_that_hangs_is_told_from_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUN_DIR", str(folder))
    monkeypatch.setattr(old_server, "GIVE_S", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.bind(str(folder / old_server.SOCKET))
        silent.listen()
        assert main(["reload"]) == 1
    assert capsys.readouterr().err == f"the old server, process {os.getpid()}, does not answer\n"


def test_a_wrong_setting_stops_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUN_DIR", str(folder))
    monkeypatch.setenv("MAX_CALLS", "many")
    assert main(["reload"]) == 2
    assert "MAX_CALLS='many'" in capsys.readouterr().err
