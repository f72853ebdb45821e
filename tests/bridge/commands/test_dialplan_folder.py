"""The dialplan in Asterisk's folder: a file of its own, included once, replaced in place."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.__main__ import main
from bridge.calls_api.call_token import dialplan_secret
from bridge.commands import env_file

SHOP = "[from-internal-custom]\nexten => 1234,1,Playback(hello)"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Asterisk's folder, with what the shop has written there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(env_file, "ENV_FILES", ())
    monkeypatch.setenv("API_KEY", "opensesame")
    (tmp_path / "extensions_custom.conf").write_text(SHOP)
    (tmp_path / "extensions_custom.conf").chmod(0o640)
    return tmp_path


def installed(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert main(["dialplan", "--install", str(folder), *arguments]) == status
    return capsys.readouterr().out


def test_the_first_time_all_is_new(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = installed(folder, capsys)
    assert (folder / "extensions_custom.conf").read_text() == f"{SHOP}\n#include talkspurt.conf\n"
    assert "[talkspurt]\nexten => s,1,Answer" in (folder / "talkspurt.conf").read_text()
    assert f"FILE({folder}/talkspurt.secret,0,64)" in (folder / "talkspurt.conf").read_text()
    assert (folder / "talkspurt.secret").read_text() == dialplan_secret("opensesame") + "\n"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}
    assert "+#include talkspurt.conf\n" in told
    assert dialplan_secret("opensesame") not in told
    assert told.endswith("Now: asterisk -rx 'dialplan reload'\n")


def test_the_second_time_nothing_changes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installed(folder, capsys)
    before = {path: (path.read_text(), path.stat().st_ino) for path in folder.iterdir()}
    assert installed(folder, capsys) == "Nothing has changed.\n"
    assert {path: (path.read_text(), path.stat().st_ino) for path in folder.iterdir()} == before


def test_a_websockets_client_goes_where_asterisk_looks_for_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "websocket_client.conf").write_text("[other]\ntype = websocket_client\n")
    told = installed(folder, capsys, "--websocket", "--asterisk", "22.8")
    assert "[talkspurt-1]\n" in (folder / "talkspurt.websocket").read_text()
    assert (folder / "websocket_client.conf").read_text().endswith("websocket_client\n#include talkspurt.websocket\n")
    assert told.endswith("Now: asterisk -rx 'module reload res_websocket_client.so'\n")
    assert installed(folder, capsys, "--websocket", "--asterisk", "22.8") == "Nothing has changed.\n"


def test_what_changed_is_told_and_replaces_what_was(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installed(folder, capsys)
    told = installed(folder, capsys, "--fallback", "ext-queues,400,1")
    assert "+ same => n(fallback),Goto(ext-queues,400,1)\n" in told
    assert "Nowhere to return to" not in (folder / "talkspurt.conf").read_text()
    assert (folder / "extensions_custom.conf").read_text().count("#include") == 1


@pytest.mark.parametrize(
    "line", ["#include talkspurt.conf", ' #tryinclude "talkspurt.conf"', "#include </x/talkspurt.conf>"]
)
def test_an_include_of_the_shop_will_do(folder: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    (folder / "extensions_custom.conf").write_text(f"{line}\n{SHOP}\n")
    installed(folder, capsys)
    assert (folder / "extensions_custom.conf").read_text() == f"{line}\n{SHOP}\n"


def test_one_that_was_pasted_before_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "extensions_custom.conf").write_text(f"{SHOP}\n\n[talkspurt]\nexten => s,1,Answer()\n")
    told = installed(folder, capsys, status=1)
    assert f"{folder}/extensions_custom.conf:4: [talkspurt] hides what was installed" in told


def test_plain_asterisk_has_another_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "extensions_custom.conf").rename(folder / "extensions.conf")
    installed(folder, capsys, "--context", "front")
    assert (folder / "extensions.conf").read_text() == f"{SHOP}\n#include front.conf\n"
