"""What `talkspurt dialplan` prints for each version and address. tests/asterisk places calls through it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from bridge.__main__ import main

SHIPPED = sorted((Path(__file__).parents[3] / "dialplan").glob("*.conf"))
SHELL_UUID = "${SHELL(cat /proc/sys/kernel/random/uuid):0:36}"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keeps a .env file and the settings of this machine out of the tests."""
    monkeypatch.chdir(tmp_path)
    for name in ("AUDIOSOCKET_HOST", "AUDIOSOCKET_PORT", "HTTP_HOST", "HTTP_PORT", "API_KEY"):
        monkeypatch.delenv(name, raising=False)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["dialplan", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_files_are_what_their_first_line_prints(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = path.read_text()
    command = shlex.split(text.splitlines()[0].removeprefix("; Made by: talkspurt dialplan"))
    assert printed(capsys, *command) == text


@pytest.mark.parametrize(
    ("version", "uuid", "keys"),
    [
        ("18.26.4", SHELL_UUID, False),
        ("certified-20.7-cert4", SHELL_UUID, False),
        ("20.11.1", SHELL_UUID, False),
        ("20.12", "${UUID()}", False),
        ("20.14.0", "${UUID()}", True),
        ("21.9", "${UUID()}", True),
        ("Asterisk 22.1.0", SHELL_UUID, False),
        ("22", SHELL_UUID, False),
        ("22.10.1", "${UUID()}", True),
        ("23.0", "${UUID()}", True),
        ("24.1", "${UUID()}", True),
    ],
)
def test_version(capsys: pytest.CaptureFixture[str], version: str, uuid: str, keys: bool) -> None:
    text = printed(capsys, "--asterisk", version)
    assert f"Set(TS_CALL={uuid})" in text
    assert ("Keys that the caller presses" not in text) is keys


def test_unknown_version_gets_what_all_understand(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys)
    assert SHELL_UUID in text
    assert "; For Asterisk 18 and later." in text


def test_addresses_are_those_of_the_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIOSOCKET_HOST", "::1")
    monkeypatch.setenv("AUDIOSOCKET_PORT", "9100")
    monkeypatch.setenv("HTTP_PORT", "8100")
    assert "Gosub(talkspurt-server,s,1(http://[::1]:8100,[::1]:9100))" in printed(capsys)


def test_servers_are_tried_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--server", "192.0.2.1:8100:9100", "--server", "192.0.2.2")
    first = text.index("(http://192.0.2.1:8100,192.0.2.1:9100)")
    assert first < text.index("(http://192.0.2.2:8000,192.0.2.2:9092)")


def test_key_goes_along(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "opensesame")
    assert printed(capsys).count("CURLOPT(httpheader)=Authorization: Bearer opensesame") == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--asterisk", "16.30"], "AudioSocket is in Asterisk from 18 on"),
        (["--asterisk", "latest"], "must be a version"),
        (["--wideband"], "say with --asterisk"),
        (["--wideband", "--asterisk", "22.6"], "needs Asterisk 20.17, 21.12, 22.7 or 23.1"),
        (["--wideband", "--asterisk", "23.0"], "needs Asterisk"),
        (["--server", "a b"], "must be HOST"),
        (["--server", "192.0.2.1:0"], "ports are 1 to 65535"),
        (["--server", "::1"], "square brackets"),
        (["--server", "192.0.2.1\n[default]"], "must be HOST"),
        (["--server", "192.0.2.1:" + "9" * 5_000], "must be HOST"),
        (["--asterisk", "22.8\nexten => s,1,System(id)"], "must be a version"),
        (["--asterisk", "22.8\r[default]"], "must be a version"),
        (["--asterisk", "22.8\x85[default]"], "must be a version"),
        (["--asterisk", "22.8\udcff"], "must be a version"),
        (["--asterisk", "9" * 5_000], "must be a version"),
        (["--asterisk", "22.8 " + "x" * 9_000], "must be a version"),
        (["--server", "192.0.2.1"] * 500, "too long"),
        (["--context", "a\n[default]"], "letters, digits"),
        (["--context", "a" * 80], "letters, digits"),
        (["--fallback", "a,1,1\n[default]"], "context,extension,priority"),
        (["--fallback", "a" * 9_000 + ",1,1"], "too long"),
        (["--context", "a,b"], "letters, digits"),
        (["--fallback", "400"], "context,extension,priority"),
    ],
)
def test_wrong_argument_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str) -> None:
    assert main(["dialplan", *arguments]) == 2
    captured = capsys.readouterr()
    assert problem in captured.err
    assert len(captured.err.splitlines()) == 1
    assert len(captured.err) < 300
    assert captured.out == ""


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("AUDIOSOCKET_HOST", "0.0.0.0", "say with --server"),
        ("AUDIOSOCKET_HOST", "talkspurt\n[default]", "must be HOST"),
        ("HTTP_PORT", "9" * 5_000, "HTTP_PORT="),
        *(("API_KEY", f"a{character}b", "API_KEY holds") for character in " ,;\\${}()[]\"'`\n\tä"),
        ("API_KEY", "a" * 2_000, "API_KEY holds"),
    ],
)
def test_wrong_setting_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["dialplan"]) == 2
    captured = capsys.readouterr()
    assert problem in captured.err
    assert len(captured.err.splitlines()) == 1
    assert len(captured.err) < 300
    assert name != "API_KEY" or value not in captured.err
    assert captured.out == ""


def test_a_key_of_the_usual_characters_is_printed_as_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "aZ09-._~+/=!@#%^&*:?|<>"
    monkeypatch.setenv("API_KEY", key)
    assert f"Bearer {key})\n" in printed(capsys)


@pytest.mark.parametrize(
    "version",
    [
        "Asterisk 22.8.2 built by root @ host on a x86_64 running Linux on 2026-01-02 03:04:05 UTC",
        "20.5.0~dfsg+~cs6.13-1",
    ],
)
def test_a_version_as_asterisk_or_a_package_tells_it(capsys: pytest.CaptureFixture[str], version: str) -> None:
    assert f"; Made by: {shlex.join(['talkspurt', 'dialplan', '--asterisk', version])}\n" in printed(
        capsys, "--asterisk", version
    )
